"""Where does liquidity stay? `zones` groups it, `zone_tests` says what price did when it came there. Pure."""
