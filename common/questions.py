"""The questions of the handout, and which script's runs answer them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """A question of the handout.

    Attributes:
        title: number and subject.
        text: what is asked, and where in the project it is answered.
        script: whose runs answer it, without ".py".
        figures: names of files in the analysis' folder, or of those in a run's figures/ that can't be drawn
            from its log.
        arguments: what the script takes.
        accuracy_after: iterations whose test accuracy is asked for, besides that of the last.
    """

    title: str
    text: str
    script: str
    figures: tuple[str, ...] = ()
    arguments: str = "--data_dir $DATA_DIR"
    accuracy_after: tuple[int, ...] = ()


QUESTIONS = (
    Question(
        "Q0.1 to Q0.3: MNIST",
        "Test accuracy after 20,000 iterations, what 30,000 change (--steps 30000 goes on with the run), and "
        "the curves of training loss and test accuracy.",
        "00_mnist",
        ("mistakes.png", "training.png"),
        "--data_dir FOLDER_OF_THE_FOUR_FILES",
        (20_000,),
    ),
    Question(
        "Q1.1 to Q1.3: the small network on PASCAL VOC",
        "load_pascal is in common/voc.py, the network in common/networks.py, the loss in common/losses.py. "
        "Curves of loss and mAP over 1,000 iterations.",
        "01_pascal",
        ("training.png",),
    ),
    Question(
        "Q2.1 to Q2.3: CaffeNet from scratch",
        "The network, its solver, random crop and flip; curves of loss and mAP.",
        "02_pascal_alexnet",
        ("training.png",),
    ),
    Question(
        "Q3.1, Q3.2: VGG-16 from scratch, TensorBoard",
        "The same solver; curves of loss and mAP, of test and training images; training loss, learning rate, "
        "size of gradients. Histograms, images and the graph are in TensorBoard: tensorboard --logdir runs.",
        "03_pascal_vgg16",
        ("training.png",),
    ),
    Question(
        "Q4.1: VGG-16 fine-tuned from ImageNet weights",
        "Asked for: weights restored up to fc7, fc8 from scratch, a tenth of Task 3's learning rate, "
        "iterations and stairs. What a run did otherwise stands in its column.",
        "04_pascal_vgg16_finetune",
        ("training.png",),
    ),
    Question(
        "Task 5: analysis",
        "conv1's filters at stages of the training; nearest neighbours by pool5 and fc7 of both networks; "
        "t-SNE of fc7; AP per class of both, and the images behind the hardest and the easiest class.",
        "05_analysis",
        (
            "conv1.png", "neighbours_caffenet_pool5.png", "neighbours_caffenet_fc7.png",
            "neighbours_vgg16_pool5.png", "neighbours_vgg16_fc7.png", "neighbours_shares.png",
            "tsne_caffenet.png", "tsne_vgg16.png", "ap_of_both.png", "examples_caffenet.png",
            "examples_vgg16.png",
        ),
        "--data_dir $DATA_DIR --caffenet RUN_OF_TASK_2 --vgg RUN_OF_TASK_4",
    ),
    Question(
        "Task 6: mixup",
        "Images and losses mixed in pairs; curves and AP per class beside the baseline's.",
        "06_mixup",
        ("with_baseline.png", "ap_with_baseline.png", "training.png"),
        "--data_dir $DATA_DIR --baseline_dir RUN_OF_TASK_2",
    ),
)  # fmt: skip
