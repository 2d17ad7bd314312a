/* Names for what is not whole yet. What is to be NAME is written as NAME.tmp-PID and renamed when it is whole. Its
 * writer holds a lock on it, so that one which nobody has locked is a leftover of a process that was killed, and
 * whoever writes NAME next sweeps it. Nothing else is ever swept: no link, no other name, no folder that holds
 * anything but regular files that the caller knows to be its own.
 *
 * Lists of names are NULL-terminated patterns of fnmatch(3), like "step-*". */
#ifndef BASE_TEMPORARY_H
#define BASE_TEMPORARY_H

#include "base/file.h"

/* "NAME.tmp-PID" for "NAME" in out[PATH_SIZE]. */
int temporary_name(char *out, const char *path, pcv_error *err);

/* Makes an empty file of that name, locked until it is closed. The descriptor, or -1 and errno. */
int temporary_open(const char *temporary);

/* Removes leftovers of `path`: files, and folders where `inside` names what they may hold. */
void temporary_sweep(const char *path, const char *const *inside);

/* Removes leftovers of all names in a folder that one of the patterns fits. */
void folder_sweep(const char *folder, const char *const *patterns, const char *const *inside);

/* Removes a folder of files with such names, their leftovers included. One that holds anything else stays as it is:
 * PCV_IO. One that is not there is fine. */
int folder_remove(const char *path, const char *const *inside, pcv_error *err);

/* A folder built under a temporary name, as a file_writer does it for a file. */
typedef struct folder_writer {
    int fd; /* -1 when closed */
    char path[PATH_SIZE], temporary[PATH_SIZE];
    const char *const *inside;
} folder_writer;
int folder_create(folder_writer *w, const char *path, const char *const *inside, pcv_error *err);
int folder_commit(folder_writer *w, pcv_error *err);
void folder_abandon(folder_writer *w);

#endif
