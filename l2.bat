@echo off
rem Runs a verb of l2vault on the vault beside this script: l2.bat walls BTC-USDT-SWAP. Installs nothing; works from any folder.
setlocal EnableExtensions
set "PY=%~dp0.venv\Scripts\python.exe"
if exist "%PY%" goto run
echo l2: nothing is installed in "%~dp0.venv" yet. Try: start_l2.bat, which installs and records 1>&2
exit /b 1
:run
"%PY%" "%~dp0l2.py" %*
