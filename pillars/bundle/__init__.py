"""What training makes and everything else reads: boosters, encoder, calibration, threshold. Needs numpy and xgboost only.

bundle        bundle, folder, golden: the whole, its folder and manifest, rows whose scores must come out equal
scoring       encoder, booster, calibration, answers: from raw columns to a probability, and to what is said
MLflow        served: the bundle as MLflow loads it; `pillars.deployment.release` makes a release of it
"""
