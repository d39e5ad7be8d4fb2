@echo off
rem Records order books with l2_exporter.py and passes its arguments on. The first run makes .venv and installs.
rem After a crash it starts again, backing off up to a minute; after Ctrl-C or a usage error it does not.
setlocal EnableExtensions
set "HERE=%~dp0"
set "PY=%HERE%.venv\Scripts\python.exe"
rem A copy of the requirements that are installed: others mean installing again
set "INSTALLED=%HERE%.venv\.recording"

if exist "%PY%" fc /b "%HERE%requirements.txt" "%INSTALLED%" >nul 2>nul && goto record
echo Installing into "%HERE%.venv" ... 1>&2
rem pip comes last into a new .venv, so one without it was cut short and is made again
if exist "%PY%" "%PY%" -m pip --version >nul 2>nul && goto install
set "CANDIDATE="
for %%C in ("py -3" "python" "python3") do (
    if not defined CANDIDATE (
        %%~C -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>nul && set "CANDIDATE=%%~C"
    )
)
if not defined CANDIDATE (
    echo No Python 3.11 or newer found. Try: install it from python.org, ticking "Add python.exe to PATH" 1>&2
    exit /b 1
)
%CANDIDATE% -m venv "%HERE%.venv" || goto failed
:install
"%PY%" -m pip install --quiet -r "%HERE%requirements.txt" -e "%HERE%." || goto failed
copy /y "%HERE%requirements.txt" "%INSTALLED%" >nul || goto failed

:record
set /a DELAY=1
:again
"%PY%" "%HERE%l2_exporter.py" %*
set "CODE=%ERRORLEVEL%"
rem 0 stopped as asked, 2 wrong usage, 130 and -1073741510 Ctrl-C
for %%E in (0 2 130 -1073741510) do if "%CODE%"=="%%E" exit /b %CODE%
echo The recorder ended with code %CODE%. Starting again in %DELAY% s; Ctrl-C stops. 1>&2
rem ping waits a second less than it counts; `timeout` would need a console for its input
set /a COUNT=DELAY+1
ping -n %COUNT% 127.0.0.1 >nul
set /a DELAY=DELAY*2
if %DELAY% gtr 60 set /a DELAY=60
goto again

:failed
echo Installing failed. Try: see what it says above, then start again 1>&2
exit /b 1
