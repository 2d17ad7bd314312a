#include "cli/input.h"
#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 16 };

static int copy(FILE *from, FILE *to, pcv_error *err) {
    char piece[PIECE];
    for (size_t got; (got = fread(piece, 1, sizeof piece, from)) > 0;)
        if (fwrite(piece, 1, got, to) != got)
            return cli_fail(err, PCV_IO, "standard input: cannot keep it in a temporary file: %s", strerror(errno));
    if (ferror(from)) return cli_fail(err, PCV_IO, "standard input: %s", strerror(errno));
    return fflush(to) ? cli_fail(err, PCV_IO, "standard input: cannot keep it: %s", strerror(errno)) : 0;
}

int input_open(const char *name, const char **path, pcv_error *err) {
    struct stat s;
    *path = name;
    if (strcmp(name, "-")) return 0;
    *path = "/dev/stdin";
    if (!fstat(STDIN_FILENO, &s) && S_ISREG(s.st_mode) && lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) return 0;
    FILE *kept = tmpfile();
    if (!kept) return cli_fail(err, PCV_CANTCREATE, "standard input: no temporary file for it: %s", strerror(errno));
    int status = copy(stdin, kept, err);
    if (!status && dup2(fileno(kept), STDIN_FILENO) < 0)
        status = cli_fail(err, PCV_IO, "standard input: %s", strerror(errno));
    fclose(kept);
    return status;
}
