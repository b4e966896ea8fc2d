"""What scores in metrics.jsonl are called in figures and tables."""

SCORE_TITLES = {
    "accuracy": "test accuracy",
    "train_sample_accuracy": "accuracy of a sample of the training images",
    "mAP": "test mAP",
    "mAP_11point": "test mAP, VOC 2007's 11 points",
    "mAP_guessing": "mAP of guessing",
    "train_sample_mAP": "mAP of a sample of the training images",
}
