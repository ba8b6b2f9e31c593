"""What training makes and everything else reads: boosters, encoder, calibration, threshold. Needs numpy and xgboost only."""
