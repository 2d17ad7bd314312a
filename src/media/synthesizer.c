#include "media/synthesizer.h"
#include "base/temporary.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *synthesizer_font(void) {
    static const char *const usual[] = {
        "/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/sounds/sf3/default-GM.sf3",
        "/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/TimGM6mb.sf2",
        "/usr/share/soundfonts/default.sf2"};
    const char *asked = getenv("SOUNDFONT");
    if (asked && *asked) return asked;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (path_exists(usual[i])) return usual[i];
    return NULL;
}

static int run(char *const arguments[], int *result) {
    posix_spawn_file_actions_t quiet;
    pid_t child;
    if (posix_spawn_file_actions_init(&quiet)) return -1;
    int failed = posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!failed) failed = posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!failed) failed = posix_spawnp(&child, arguments[0], &quiet, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&quiet);
    return failed || waitpid(child, result, 0) != child ? -1 : 0;
}

int synthesize(const char *midi, const char *wav, pcv_error *err) {
    const char *font = synthesizer_font();
    char part[PATH_SIZE];
    int result = 0;
    if (!font) return fail(err, PCV_NOINPUT, "no sound font; install timgm6mb-soundfont, or set SOUNDFONT");
    int status = temporary_name(part, wav, err);
    if (status) return status;
    temporary_sweep(wav, NULL);
    const char *arguments[] = {"fluidsynth", "-ni", "-T", "wav", "-r", "44100", "-F", part, font, midi, NULL};
    if (run((char *const *)(uintptr_t)arguments, &result) || (WIFEXITED(result) && WEXITSTATUS(result) == 127))
        return fail(err, PCV_NOINPUT, "the program fluidsynth is not installed");
    if (WIFEXITED(result) && WEXITSTATUS(result) == 0 && path_exists(part)) return path_publish(part, wav, err);
    unlink(part);
    return fail(err, PCV_IO, "%s: fluidsynth could not play it", midi);
}
