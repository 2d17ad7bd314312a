/* Dialects are the published variants of Perceiver AR, spelled out (reference: the papers and code named
 * in each help text); presets add sizes and a training recipe that we measured. */
#include "config/settings.h"

/* Without what makes a long input pay (docs/long_context.md). */
#define PLAIN "near=0 index.orders=none training.vary_context=0 "

const preset dialects[] = {
    {"default",
     "near=512 index.orders=2,3,4,5,6,8,12,16 training.vary_context=0.8 "
     "activation=squared_relu query=identity latent_kv_norm=input bias=none norm=rms "
     "positions.kind=none positions.rotary.fraction=1 positions.rotary.base=10000 "
     "tied_embeddings=false output_norm=true output_bias=false init=fan_in init_scale=1 "
     "embedding_scale=1 zero_head=true self_reach=-1",
     "what we measured to learn fastest", NULL},
    {"official",
     "activation=squared_relu query=linear latent_kv_norm=input bias=all positions.kind=none "
     "positions.origin=one positions.rotary.fraction=0.5 positions.rotary.endpoint=true "
     "tied_embeddings=false output_norm=true output_bias=true zero_head=true dropout=0.1 "
     "training.begin=random",
     "google-research/perceiver-ar (Hawthorne et al. 2022)", NULL},
    {"krasserm",
     "activation=gelu query=identity latent_kv_norm=query bias=cross_output positions.kind=learned "
     "positions.rotary.fraction=0.5 positions.rotary.base=10000 positions.rotary.layers=1 "
     "tied_embeddings=true output_norm=false output_bias=true init=normal init_scale=0.02 "
     "embedding_scale=0.02 training.begin=random",
     "krasserm/perceiver-io", NULL},
    {"lucidrains",
     "activation=gelu query=identity latent_kv_norm=query bias=cross_output positions.kind=learned "
     "positions.rotary.fraction=0.5 positions.rotary.base=10000 positions.rotary.layout=halves "
     "tied_embeddings=false output_norm=false output_bias=false embedding_scale=1 "
     "training.begin=random",
     "lucidrains/perceiver-ar-pytorch", NULL},
    {"flaxformer",
     "activation=geglu query=identity latent_kv_norm=shared bias=none norm=rms norm_epsilon=1e-6 "
     "positions.rotary.fraction=1 positions.rotary.base=10000 positions.rotary.layout=halves "
     "scale_scores=false tied_embeddings=false output_norm=true output_bias=false training.begin=random",
     "google/flaxformer (T5X)", NULL},
    {"deepmind",
     "activation=gelu_tanh norm=layer bias=all mlp_ratio=1 query_residual=true output_norm=false output_bias=true "
     "tied_embeddings=false init=fan_in init_scale=1 embedding_scale=1",
     "deepmind-research/perceiver (Jaegle et al. 2021, 2022)", NULL},
    {0},
};

/* Pictures and music learn fastest from many updates of a small model. */
#define SMALL \
    "latents=512 channels=128 heads=4 layers=4 prefix_dropout=0.5 training.lr=0.003 training.beta2=0.95 " \
    "training.warmup=200 training.minutes=30"

#define DOCUMENTS \
    "context=131072 latents=512 channels=192 heads=6 layers=5 training.vary_context=0.9 training.lr=0.0015 " \
    "training.beta2=0.95 training.warmup=200 training.minutes=30"

/* Answers: an encoder of three or four layers behind few latents, in batches. */
#define ANSWERS \
    "architecture=perceiver-io latents=16 channels=64 heads=4 layers=3 mlp_ratio=2 training.batch=32 " \
    "tied_embeddings=false training.lr=0.002 training.warmup=100 "

/* Published models of pictures of 224 x 224 pixels: 512 latents of 1,024 channels, six layers eight times. */
#define IMAGENET \
    "context=50176 input_features=3 outputs=1000 latents=512 channels=1024 heads=8 cross_heads=1 layers=6 " \
    "encoder.blocks=8 tied_embeddings=false cross_mlp_ratio=1 decoder.queries=1 decoder.channels=1024 decoder.heads=1 "
#define IMAGENET_FOURIER "positions.kind=fourier positions.axes=224,224 positions.bands=64 "

const preset presets[] = {
    {"tiny",
     "context=256 latents=64 channels=64 heads=2 layers=2 training.lr=0.003 training.batch=4 "
     "training.warmup=20",
     "a model for trying things out: a few seconds", NULL},
    {"demo",
     "context=4096 near=256 latents=256 channels=128 heads=4 layers=4 training.lr=0.002 "
     "training.beta2=0.95 training.warmup=100 training.minutes=3",
     "text in three minutes on two cores", NULL},
    {"books",
     DOCUMENTS,
     "books, byte by byte, in half an hour on two cores", NULL},
    {"code",
     DOCUMENTS,
     "source code, projects as documents, in half an hour on two cores", NULL},
    {"pictures",
     PLAIN "context=3072 " SMALL,
     "pictures of 32 x 32 pixels, in half an hour on two cores", NULL},
    {"music",
     "context=16384 training.vary_context=0.5 " SMALL,
     "MIDI in half an hour on two cores", NULL},
    {"sound",
     PLAIN "context=4096 " SMALL,
     "samples of sound in half an hour on two cores", NULL},
    {"codes",
     PLAIN "context=1024 latents=512 channels=64 heads=4 layers=2 prefix_dropout=0.5 dropout=0.3 output_bias=true "
     "training.total_batch=4096 training.lr=0.002 training.warmup=20 training.weight_decay=0.1 "
     "training.eval_every=50 training.minutes=5",
     "codes of a few minutes of sound, in five minutes", NULL},
    {"copy-131072",
     PLAIN "context=131072 latents=512 channels=128 heads=1 layers=1 self_reach=32 qk_norm=true "
     "positions.kind=sinusoidal positions.rotary.fraction=0 embedding_scale=0.25 training.start_length=64 "
     "training.grow_accuracy=0.98 training.total_batch=512 training.lr=0.002 training.beta2=0.95 "
     "training.warmup=100 training.schedule=wsd training.decay_share=0.7 training.lr_end=0.01 "
     "training.eval_tokens=8192 training.minutes=25",
     "the mirrored copy task: 131,072 tokens recalled after 25 minutes on two cores", NULL},
    {"copy-131072-paper",
     "context=131072 latents=1024 channels=1024 heads=16 layers=6 "
     "positions.kind=sinusoidal positions.rotary.fraction=0 training.start_length=64 training.warmup=1000 "
     "training.steps=25000",
     "the published model of the copy task (89.8 million parameters)", "official"},
    {"recall-131072",
     "context=131072 latents=512 near=32 index.orders=2,3 index.places=4 channels=64 heads=2 layers=1 "
     "training.batch=2 training.lr=0.003 training.beta2=0.95 training.warmup=20 training.eval_tokens=8192 "
     "training.steps=400",
     "recall and repeat: passages looked up 131,072 tokens back, in a quarter of a minute on two cores", NULL},
    {"flowers",
     ANSWERS "latents=32 channels=96 layers=4 positions.bands=16 dropout=0.1 training.flip=true training.shift=3 "
     "training.cutout=8 training.label_smoothing=0.1 training.weight_decay=0.1 training.minutes=10",
     "what pictures of 32 x 32 pixels show, in ten minutes on two cores", "deepmind"},
    {"spoken",
     ANSWERS "context=150 patch=32 positions.bands=16 training.shift=400 training.minutes=3",
     "what is said, from samples at 8 kHz, in three minutes on two cores", "deepmind"},
    {"spoken-spectra",
     ANSWERS "context=61 patch=80 spectrum=256 positions.bands=16 training.shift=400 training.minutes=3",
     "the same from spectra", "deepmind"},
    {"shapes",
     ANSWERS "context=96 positions.bands=8 training.minutes=1",
     "what point clouds are, in a minute on two cores", "deepmind"},
    {"sprites",
     ANSWERS "latents=32 channels=96 positions.kind=fourier positions.bands=8 encoder.places=true "
     "decoder.query=inputs outputs=2 loss=end_point training.batch=16 training.lr=0.0015 training.minutes=15",
     "optical flow: how far the pixels of frames of 16 x 16 move, in a quarter of an hour on two cores", "deepmind"},
    {"hidden-words",
     ANSWERS "context=128 latents=64 channels=128 positions.kind=fourier positions.join=concat positions.bands=24 "
     "encoder.places=true decoder.query=fourier training.minutes=15",
     "hidden words of texts, found again, in a quarter of an hour on two cores", "deepmind"},
    {"hidden-letters",
     ANSWERS "context=64 latents=64 channels=128 mask=tokens positions.kind=fourier positions.join=concat "
     "positions.bands=24 encoder.places=true decoder.query=fourier training.minutes=10",
     "single hidden bytes of texts, found again, in ten minutes on two cores", "deepmind"},
    {"films",
     ANSWERS "latents=32 channels=128 patch=2 positions.kind=none loss=absolute outputs=128 decoder.heads=2 "
     "audio.features=8 audio.axes=8 audio.grid=8 audio.outputs=8 audio.bands=16 image.features=12 "
     "image.axes=4,8,8 image.grid=4,16,16 image.outputs=3 image.bands=16 image.weight=1 image.asked=256 "
     "label.weight=0.1 label.hidden=0.5 training.minutes=20",
     "films of 16 x 16 pixels with sound and a class through one bottleneck, in 20 minutes on two cores", "deepmind"},
    {"optical-flow",
     "architecture=perceiver-io context=182528 input_features=54 input_channels=64 outputs=2 loss=end_point "
     "output_scale=0.2 latents=2048 channels=512 heads=16 cross_heads=1 layers=24 positions.kind=fourier "
     "positions.axes=368,496 positions.bands=64 tied_embeddings=false cross_mlp_ratio=1 decoder.query=inputs "
     "decoder.heads=1 zero_head=true",
     "the published Perceiver IO for optical flow (41.1 million)", "deepmind"},
    {"kinetics",
     "architecture=perceiver-io latents=784 channels=512 heads=8 cross_heads=1 layers=8 cross_mlp_ratio=1 "
     "tied_embeddings=false positions.kind=none loss=absolute outputs=512 decoder.heads=1 modality_padding=4 "
     "decoder.padding=2 "
     "audio.features=16 audio.axes=1920 audio.grid=1920 audio.outputs=16 audio.bands=192 audio.resolution=30720 "
     "audio.asked=32 image.features=48 image.axes=16,56,56 image.grid=16,224,224 image.outputs=3 image.bands=32 "
     "image.resolution=16,56,56 image.asked=512 label.features=700 label.outputs=700 label.query_channels=1024 "
     "label.hidden=0.5",
     "the published Perceiver IO for films with sound and a class (19.9 million)", "deepmind"},
    {"sets",
     ANSWERS "context=25 training.minutes=2",
     "which kind of the items of a set weighs most, in two minutes on two cores", "deepmind"},
    {"imagenet-2021",
     "architecture=perceiver " IMAGENET IMAGENET_FOURIER "encoder.cross_attends=8 zero_head=true",
     "the published Perceiver for pictures (44.9 million parameters)", "deepmind"},
    {"imagenet-fourier",
     "architecture=perceiver-io " IMAGENET IMAGENET_FOURIER "decoder.residual=true",
     "the published Perceiver IO for pictures (48.4 million)", "deepmind"},
    {"imagenet-learned",
     "architecture=perceiver-io " IMAGENET "input_channels=256 positions.kind=learned positions.channels=256 "
     "positions.projected=256",
     "the same with learned positions (62.3 million)", "deepmind"},
    {"imagenet-convolution",
     "architecture=perceiver-io " IMAGENET "context=3136 input_features=588 convolution=64 positions.kind=fourier "
     "positions.axes=56,56 positions.bands=64 decoder.residual=true",
     "the same behind a convolution (48.6 million)", "deepmind"},
    {"masked-bytes",
     "architecture=perceiver-io vocab_size=262 context=2048 input_channels=768 latents=256 channels=1280 heads=8 "
     "cross_heads=8 layers=26 cross_mlp_ratio=1 encoder.qk_channels=256 encoder.v_channels=1280 "
     "positions.kind=learned positions.join=add tied_embeddings=true decoder.queries=0 decoder.channels=768 "
     "decoder.heads=8 decoder.qk_channels=256 decoder.v_channels=768",
     "the published Perceiver IO that finds hidden bytes of texts (201 million)", "deepmind"},
    {"million",
     "context=1048576 latents=512 channels=256 heads=4 layers=4 training.steps=1000",
     "a context of 1,048,576 tokens in 0.2 GiB", NULL},
    {0},
};
