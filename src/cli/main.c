/* perceiver: the program. A table of commands over the library's public header; see cmd_*.c. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_OPTION {"json", OPTION_SWITCH, NULL, "print the result as JSON"}
#define CONFIG_OPTION {"config", OPTION_VALUE, "FILE", "take settings from a config.json"}

const command commands[] = {
    {"prepare", "text|bytes|image|midi|audio|points|pairs|video INPUT... -o DATASET",
     "Encode files, folders or standard input (-) into a data set", 1, MOST_ARGUMENTS, cmd_prepare,
     {{"o", OPTION_PLACE, "DATASET", "folder to make"},
      {"split", OPTION_VALUE, "A,B,C",
       "deals files by these percentages to train, validation and test (default 90,5,5; files and folders named train, "
       "validation or valid or val or dev, and test keep their places when this is not given)"},
      {"seed", OPTION_VALUE, "N", "of the split (default 1)"},
      {"train", OPTION_LIST, "PATH...", "files to train on, in place of a split"},
      {"validation", OPTION_LIST, "PATH...", "files to validate on"},
      {"test", OPTION_LIST, "PATH...", "files to test on"},
      {"documents", OPTION_VALUE, "RULE",
       "text: what one document is: a file (files, the default), a folder of INPUT with all its files (folders), or "
       "what a file holds many of: lines, paragraphs, jsonl:FIELD or separator:TEXT (with \\n, \\t, \\xHH); of fewer "
       "files than splits, these are dealt"},
      {"labels", OPTION_VALUE, "folders|FILE.csv",
       "what each file is: by the folder that it stands in, or in rows of a file and its label"},
      {"task", OPTION_VALUE, "next|mask",
       "text: what it is to teach: what comes next (the default), or what was hidden in it"},
      {"include", OPTION_REPEATED, "GLOB",
       "take files whose path within INPUT, or whose name, is like this ('*' is any text, slashes too); repeatable"},
      {"exclude", OPTION_REPEATED, "GLOB", "leave out such files and folders; wins over --include; repeatable"},
      {"codec", OPTION_VALUE, "mulaw|rvq", "audio: samples, or codes learned from the data (default mulaw)"},
      {"tokenizer", OPTION_VALUE, "NAME",
       "text: bytes, bytes-262, sentencepiece:N or FILE.model; midi: midi, midi-389 (krasserm's)"}},
     {PCV_TOKENS}, 1, .example = "perceiver prepare text ~/books -o data/books",
     .needs = {{"split", "INPUT"}}},
    {"plan", "[DATASET] [model and training options]", "Tell what a training needs, before it starts", 0, 1,
     cmd_plan,
     {CONFIG_OPTION,
      {"probe", OPTION_VALUE, "SECONDS", "time to measure a step, in each precision; 0: do not (default 3)"},
      JSON_OPTION},
     {PCV_MODEL, PCV_TRAINING}, 2, .example = "perceiver plan --context 16384 --channels 512 --layers 8 --heads 8"},
    {"train", "DATASET -o RUN [model and training options]", "Train a model", 0, 1, cmd_train,
     {{"o", OPTION_PLACE, "RUN", "folder of the run"},
      {"resume", OPTION_SWITCH, NULL, "go on with the run of -o"},
      {"other-data", OPTION_SWITCH, NULL, "with --resume: go on even if the data set is not the run's"},
      CONFIG_OPTION},
     {PCV_MODEL, PCV_TRAINING}, 2, .example = "perceiver train data/books -o runs/books --preset books",
     .needs = {{"other-data", "resume"}}},
    {"eval", "RUN [evaluation options]", "Evaluate a run on text that it has not seen", 1, 1, cmd_eval,
     {{"data", OPTION_VALUE, "DATASET", "evaluate on another data set than the run's"},
      {"sweep", OPTION_VALUE, "latents|context", "score the same targets in several ways"},
      {"values", OPTION_VALUE, "N,N...", "what to try in the sweep (default: a list that suits the model)"},
      {"o", OPTION_PLACE, "FILE", "draw the sweep, .svg; of a run that tells classes apart, which was taken for which, "
       ".svg or .csv"},
      JSON_OPTION},
     {PCV_EVALUATION}, 1, .example = "perceiver eval runs/books --split test",
     .needs = {{"values", "sweep"}}},
    {"generate", "RUN [sampling options]", "Continue a prompt", 1, 1, cmd_generate,
     {{"prompt", OPTION_TEXT, "TEXT", "text to continue; none: start a document"},
      {"prompt-file", OPTION_VALUE, "FILE", "file to continue; - is standard input"},
      {"echo", OPTION_SWITCH, NULL, "write the prompt in front of the continuation"},
      {"samples", OPTION_VALUE, "N", "texts of one prompt, made side by side with the seeds --seed, --seed + 1, ... "
       "(default 1); with -o story.txt they are story-1.txt, story-2.txt, ..."},
      {"complete", OPTION_LIST, "FILE...", "files to continue; several: pictures, in one sheet"},
      {"keep", OPTION_VALUE, "X", "part of the given files that is kept (default 0.5)"},
      {"grid", OPTION_VALUE, "AxB", "a sheet of so many pictures"},
      {"scale", OPTION_VALUE, "N", "each pixel of a picture becomes N x N (default 1)"},
      {"o", OPTION_VALUE, "FILE", "file to make in place of standard output; its ending says in which format"}},
     {PCV_SAMPLING}, 1, .example = "perceiver generate runs/books --prompt 'It was a dark' --length 400",
     .needs = {{"echo", "prompt|prompt-file"}, {"keep", "complete|prompt-file"}},
     .text = {"prompt", "echo", "stop"}, .files = {"complete", "keep", "grid", "scale"}},
    {"score", "RUN FILE|- [evaluation options]",
     "Print the log-probability of each token of a file; its end, which eval counts too, is none", 1, 2, cmd_score,
     {{"tokens", OPTION_VALUE, "FILE", "score whitespace-separated token ids (- is standard input)"},
      {"logits", OPTION_PLACE, "OUT.safetensors", "also write all logits, float32 [positions, vocabulary]"}},
     {PCV_EVALUATION}, 1, .example = "perceiver score runs/books letter.txt",
     .without = {"split", "batch", "tokens", "examples", "seed"}},
    {"predict", "RUN FILE... [-o OUT]", "Say what files are, or what is hidden in texts: perceiver and perceiver-io", 2,
     MOST_ARGUMENTS, cmd_predict,
     {{"o", OPTION_PLACE, "OUT", "file to make in place of standard output: a table, .csv; with --output latents "
       ".safetensors or .csv; motions between two frames, .flo, or drawn, .png; a folder for films"},
      {"output", OPTION_VALUE, "answers|latents",
       "what to write: answers, or the latents behind them (default answers)"},
      {"hidden", OPTION_VALUE, "TEXT", "in a text stands for a token that is to be found"},
      {"top", OPTION_VALUE, "N", "classes to list of each file (default 3)"},
      {"csv", OPTION_SWITCH, NULL, "print a table with all classes"}},
     {PCV_EVALUATION}, 1, .example = "perceiver predict runs/flowers photo.png",
     .without = {"split", "stride", "batch", "tokens", "examples", "seed", "context", "memory"}},
    {"attend", "RUN [FILE|-] [-o MAP.png] [--token N] [evaluation options]",
     "List what predicting one token looked at, or draw what many look at", 1, 2, cmd_attend,
     {{"o", OPTION_VALUE, "MAP.png", "picture to make; without the three options below nothing is listed then"},
      {"token", OPTION_VALUE, "N",
       "list what predicting the token behind this one looked at; 0 is the start token (default: the last one)"},
      {"top", OPTION_VALUE, "N", "places of each head, and next tokens, to list at most (default 8)"},
      {"json", OPTION_SWITCH, NULL, "print the list as JSON"},
      {"tokens", OPTION_VALUE, "FILE", "look at whitespace-separated token ids (- is standard input)"},
      {"size", OPTION_VALUE, "N", "pixels of each side at most (default 512)"}},
     {PCV_EVALUATION}, 1, .example = "perceiver attend runs/books chapter.txt --token 2000",
     .needs = {{"size", "o"}}, .without = {"split", "stride", "batch", "tokens", "examples"}},
    {"compare", "DATASET -o DIR [model and training options]", "Measure and train architectures under one budget",
     1, 1, cmd_compare,
     {{"o", OPTION_PLACE, "DIR", "folder to make: CSV, SVG, and a page"},
      {"archs", OPTION_VALUE, "A,B@NxR...", "architectures, contexts to train at, rows of a batch (default all)"},
      {"depths", OPTION_VALUE, "N,N...", "layers of the measured steps (default 1,6,12,36)"},
      {"contexts", OPTION_VALUE, "N,N...", "contexts of the measured steps (default 512 to 131072)"},
      {"rates", OPTION_VALUE, "X,X...", "learning rates to choose from, for each architecture (default --lr)"},
      {"cost-only", OPTION_SWITCH, NULL, "measure steps, train nothing"},
      {"quality-only", OPTION_SWITCH, NULL, "train, measure no steps"},
      {"equal", OPTION_VALUE, "WHAT", "parameters: as many in each; step-time: also contexts whose steps take as long"},
      {"memory-limit", OPTION_VALUE, "GIB", "of a step (default: what is available)"},
      {"time-limit", OPTION_VALUE, "SECONDS", "a longer step ends its row (default 60)"},
      {"resume", OPTION_SWITCH, NULL, "go on behind the last finished cell"},
      {"dry-run", OPTION_SWITCH, NULL, "print what would be done, and how long it takes"},
      CONFIG_OPTION},
     {PCV_MODEL, PCV_TRAINING}, 2, .example = "perceiver compare data/books -o comparison --preset books --depths 1,6"},
    {"info", "[RUN|DATASET|FILE|-]", "Describe a run, a data set or a safetensors file (- is standard input)", 0, 1,
     cmd_info,
     {{"tensors", OPTION_SWITCH, NULL, "list a run's tensors too"},
      {"devices", OPTION_SWITCH, NULL, "what this machine can compute on, in place of a file"}, JSON_OPTION}, {0}, 0,
     .example = "perceiver info runs/books"},
    {"bench", "[ops|train|generate|answer] [model and training options]",
     "Time ops, a training step, generation or answers; prints CSV", 0, 1, cmd_bench,
     {CONFIG_OPTION,
      {"weights", OPTION_VALUE, "f32|bf16|int8", "how generation holds its weights"},
      {"cache", OPTION_VALUE, "f32|bf16|int8", "how generation holds keys and values"},
      {"json", OPTION_SWITCH, NULL, "print JSON in place of CSV"}},
     {PCV_MODEL, PCV_TRAINING}, 2,
     .example = "perceiver bench train --dialect krasserm --channels 512 --heads 8 --layers 8 --vocab 262"},
    {0},
};

/* Why standard output cannot be written, or NULL when it can. When an earlier write failed, its reason is gone, and one
 * more byte of an output that is broken already brings it back. */
static const char *output_failure(void) {
    bool broken = ferror(stdout);
    if (broken) putchar('\n');
    errno = 0;
    if (fflush(stdout) || broken) return errno ? strerror(errno) : "a write failed";
    return NULL;
}

/* The end of everything that prints: what could not be written is an error like any other. */
static int finish(const char *name, int status, pcv_error *err) {
    const char *failure = output_failure();
    if (failure && !status) status = cli_fail(err, PCV_IO, "cannot write to standard output: %s", failure);
    progress_end();
    if (status) cli_say("perceiver%s%s: %s", *name ? " " : "", name, err->message);
    return status;
}

static void say_threads(const pcv_settings *settings) {
    int64_t asked;
    int threads = pcv_threads(settings, &asked);
    if (asked > threads) cli_say("--threads %" PRId64 ": more than the cores here, takes %d", asked, threads);
}

static int run(const command *c, int argc, char **argv) {
    arguments a;
    pcv_error err = {0};
    int status = arguments_parse(&a, c, argc, argv, &err);
    const char *config = status || a.help ? NULL : arguments_value(&a, "config");
    if (config) status = pcv_settings_read(a.settings, config, &err);
    if (!status && a.help) print_command_help(c, a.settings);
    else if (!status) {
        say_threads(a.settings);
        status = c->run(&a, &err);
    }
    arguments_free(&a);
    return finish(c->name, status, &err);
}

static int no_command(const char *name, pcv_error *err) {
    const char *near = command_nearest(name);
    return cli_fail(err, PCV_USAGE, "there is no command '%s'%s%s%s", name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "; perceiver --help lists them");
}

static bool is_help(const char *name) {
    return !strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help");
}

/* What is not a command; `of` is the argument behind it, or NULL. False: nor one of these. */
static bool page(const char *name, const char *of, int *status, pcv_error *err) {
    if (is_help(name)) {
        bool is_page = of && (!strcmp(of, "help") || !strcmp(of, "version"));
        if (of && !is_page) *status = no_command(of, err);
        else print_help();
    } else if (!strcmp(name, "--version") || !strcmp(name, "-V") || !strcmp(name, "version")) {
        printf("perceiver " PCV_VERSION " (kernels: %s)\n", pcv_kernel_levels()[0]);
    } else if (!strcmp(name, "--man")) {
        print_man_page();
    } else if (!strcmp(name, "--completion")) {
        if (of && !strcmp(of, "bash")) print_completion();
        else *status = cli_fail(err, PCV_USAGE, "--completion: '%s' is not one of bash", of ? of : "");
    } else {
        return false;
    }
    return true;
}

/* A standard stream that is closed would be the next file that is opened, and be written into. What stands in its
 * place fails as it would. */
static void hold_streams(void) {
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) abort();
}

/* GNU OpenMP lets a thread that waits for others spin for milliseconds before it sleeps. On a core that it shares with
 * another program it spins its time away, and a training takes ten times as long. It need not spin for longer than
 * sleeping and waking takes. The runtime reads how long when it is loaded, so the program starts itself once more. */
static void spin_briefly(char **argv) {
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0 || getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
    path[size] = 0;
    const char *name = strrchr(path, '/');
    if (!name || strcmp(name, "/perceiver")) return; /* a loader's name, or a debugger's */
    if (!setenv("GOMP_SPINCOUNT", "1000", 1)) execv(path, argv); /* where that fails, it goes on as it is */
}

int main(int argc, char **argv) {
    hold_streams();
    spin_briefly(argv);
    signals_prepare();
    pcv_error err = {0};
    int status = 0;
    if (argc < 2) {
        print_help();
        return finish("", cli_fail(&err, PCV_USAGE, "name a command"), &err);
    }
    const command *c = command_find(argv[1]);
    if (c) return run(c, argc - 1, argv + 1);
    c = argc > 2 && is_help(argv[1]) ? command_find(argv[2]) : NULL;
    if (c) { /* "help train ..." is "train ... --help" */
        char help[] = "--help";
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof *argv);
        argv[argc - 1] = help;
        return run(c, argc - 1, argv + 1);
    }
    if (!page(argv[1], argc > 2 ? argv[2] : NULL, &status, &err)) status = no_command(argv[1], &err);
    return finish("", status, &err);
}
