/* What is not whole yet: temporaries, leftovers and what is swept, locks, folders that are held. */
#include "base/temporary.h"
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void names_of(const char *name, const char *expected) {
    file_list names = {0};
    char all[1024] = "";
    must(folder_names(at(name), &names, &err));
    for (size_t i = 0; i < names.count; i++) snprintf(all + strlen(all), sizeof all - strlen(all), "%s ", names.paths[i]);
    file_list_free(&names);
    assert_string_equal(all, expected);
}

static void put_file(const char *name) { put(name, "x", 1); }

/* Whoever writes NAME sweeps NAME.tmp-PID of processes that are gone, and nothing else. */
static void leftovers_of_a_file(void **state) {
    (void)state;
    must(folder_make(at("one"), &err));
    static const char *const kept[] = {"one/a.txt.tmp-backup", "one/a.txt.tmp-12b", "one/a.txt.tmp-", "one/b.txt.tmp-12",
                                       "one/a.txt.tmp-12345678901", "one/xa.txt.tmp-12", "one/target", "one/a.txt.tmp-1.gz"};
    for (size_t i = 0; i < COUNT(kept); i++) put_file(kept[i]);
    assert_int_equal(symlink("target", at("one/a.txt.tmp-13")), 0);
    must(folder_make(at("one/a.txt.tmp-14"), &err));
    put_file("one/a.txt.tmp-12");
    put_file("one/a.txt.tmp-4294967295");
    must(file_write(at("one/a.txt"), "new", 3, &err));
    for (size_t i = 0; i < COUNT(kept); i++) assert_true(path_exists(at(kept[i])));
    assert_true(path_exists(at("one/a.txt.tmp-13")) && path_exists(at("one/a.txt.tmp-14")));
    assert_false(path_exists(at("one/a.txt.tmp-12")));
    assert_false(path_exists(at("one/a.txt.tmp-4294967295")));
}

/* A temporary that another process writes is no leftover. */
static void writers_at_once(void **state) {
    (void)state;
    must(folder_make(at("two"), &err));
    int ready[2], done[2];
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        file_writer w;
        pcv_error err;
        bool ok = !file_create(&w, at("two/a"), &err) && !file_append(&w, "child", 5, &err);
        ok = ok && write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1 && !file_commit(&w, &err);
        _exit(!ok);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    must(file_write(at("two/a"), "parent", 6, &err));
    assert_int_equal(write(done[1], &byte, 1), 1);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    names_of("two", "a ");
}

/* The name of our own temporary may be a link that somebody made. */
static void no_link_is_followed(void **state) {
    (void)state;
    char name[64];
    must(folder_make(at("three"), &err));
    put_file("three/target");
    snprintf(name, sizeof name, "three/a.tmp-%d", (int)getpid());
    assert_int_equal(symlink("target", at(name)), 0);
    refused(file_write(at("three/a"), "new", 3, &err), PCV_CANTCREATE, "three/a: cannot create: File exists");
    struct stat s;
    assert_int_equal(stat(at("three/target"), &s), 0);
    assert_int_equal(s.st_size, 1);
    assert_true(path_exists(at(name)));
}

static const char *const inside[] = {"part-*", "list", NULL};

static void folders_of_known_files(void **state) {
    (void)state;
    must(folder_remove(at("nowhere"), inside, &err));
    for (int i = 0; i < 4; i++) { /* a file, a name that is nearly ours, a folder, a link */
        must(folder_make(at("four"), &err));
        put_file("four/part-1");
        put_file("four/list");
        put_file("four/list.tmp-12");
        if (i < 2) put_file(i ? "four/list.tmp-backup" : "four/notes");
        if (i == 2) must(folder_make(at("four/part-2"), &err));
        if (i == 3) assert_int_equal(symlink("list", at("four/part-3")), 0);
        static const char *const strange[] = {"'notes'", "'list.tmp-backup'", "'part-2'", "'part-3'"};
        refused(folder_remove(at("four"), inside, &err), PCV_IO, strange[i]);
        assert_true(path_exists(at("four/part-1")) && path_exists(at("four/list")));
        must(path_remove(at("four"), &err));
    }
    must(folder_make(at("four"), &err));
    put_file("four/part-1");
    put_file("four/list.tmp-12");
    assert_int_equal(symlink("four", at("linked")), 0);
    refused(folder_remove(at("linked"), inside, &err), PCV_IO, "linked");
    must(folder_remove(at("four"), inside, &err));
    assert_false(path_exists(at("four")));
}

static void folders_are_built_aside(void **state) {
    (void)state;
    folder_writer w;
    must(folder_make(at("five"), &err));
    must(folder_make(at("five/set.tmp-12"), &err)); /* a leftover */
    put_file("five/set.tmp-12/list");
    must(folder_make(at("five/set.tmp-13"), &err)); /* somebody's folder */
    put_file("five/set.tmp-13/notes");
    must(folder_make(at("five/set.tmp-old"), &err));
    must(folder_create(&w, at("five/set"), inside, &err));
    folder_abandon(&w);
    folder_abandon(&w);
    names_of("five", "set.tmp-13 set.tmp-old ");
    must(folder_create(&w, at("five/set/"), inside, &err));
    must(folder_commit(&w, &err));
    folder_abandon(&w);
    names_of("five", "set set.tmp-13 set.tmp-old ");
    refused(folder_create(&w, at("five/no/set"), inside, &err), PCV_CANTCREATE, "five/no/set: cannot create: No such");
    refused(folder_create(&w, "", inside, &err), PCV_USAGE, "empty");
    folder_abandon(&w);
}

static void sweeping_a_folder(void **state) {
    (void)state;
    static const char *const patterns[] = {"step-*", "lock", NULL};
    must(folder_make(at("six/step-1.tmp-5"), &err));
    must(folder_make(at("six/step-2"), &err));
    must(folder_make(at("six/old.tmp-5"), &err));
    put_file("six/lock");
    put_file("six/lock.tmp-5");
    put_file("six/other.tmp-5");
    folder_sweep(at("six"), patterns, NULL);
    names_of("six", "lock old.tmp-5 other.tmp-5 step-1.tmp-5 step-2 ");
    folder_sweep(at("six"), patterns, inside);
    names_of("six", "lock old.tmp-5 other.tmp-5 step-2 ");
    folder_sweep(at("nowhere"), patterns, inside);
}

static void checked_before_the_work(void **state) {
    (void)state;
    must(folder_make(at("seven/sub"), &err));
    put("seven/old", "old", 3);
    must(file_check(at("seven/new"), &err));
    must(file_check(at("seven/old"), &err));
    names_of("seven", "old sub ");
    refused(file_check(at("seven/no/new"), &err), PCV_CANTCREATE, "seven/no/new: cannot create: No such file");
    refused(file_check(at("seven/sub"), &err), PCV_CANTCREATE, "is a folder");
    refused(file_check(at("seven/old/new"), &err), PCV_CANTCREATE, "Not a directory");
    refused(file_check("", &err), PCV_USAGE, "empty");
}

/* A lock is a regular file of ours: no link is followed, nothing of somebody else's cut. */
static void strange_locks(void **state) {
    (void)state;
    int fd;
    file_bytes b;
    must(folder_make(at("eight"), &err));
    put("eight/diary", "dear diary", 10);
    assert_int_equal(symlink("diary", at("eight/link")), 0);
    assert_int_equal(symlink("nothing", at("eight/loose")), 0);
    assert_int_equal(mkfifo(at("eight/pipe"), 0600), 0);
    refused(lock_take(&fd, at("eight/link"), &err), PCV_CANTCREATE, "is a link");
    refused(lock_take(&fd, at("eight/loose"), &err), PCV_CANTCREATE, "is a link");
    refused(lock_take(&fd, at("eight/pipe"), &err), PCV_CANTCREATE, "is not a lock");
    refused(lock_take(&fd, at("eight/diary"), &err), PCV_CANTCREATE, "is not a lock");
    must(file_read(at("eight/diary"), 100, &b, &err));
    assert_int_equal(b.size, 10);
    file_bytes_free(&b);
    assert_false(path_exists(at("eight/nothing")));
}

static void held_folders(void **state) {
    (void)state;
    folder_held h;
    must(folder_make(at("nine"), &err));
    must(folder_hold(&h, at("nine"), &err));
    must(folder_still(&h, &err));
    assert_int_equal(rename(at("nine"), at("ten")), 0);
    refused(folder_still(&h, &err), PCV_IO, "nine: has been removed or renamed");
    must(folder_make(at("nine"), &err)); /* another one of that name */
    refused(folder_still(&h, &err), PCV_IO, "removed or renamed");
    must(path_remove(at("nine"), &err));
    assert_int_equal(rename(at("ten"), at("nine")), 0);
    must(folder_still(&h, &err));
    folder_let_go(&h);
    folder_let_go(&h);
    refused(folder_hold(&h, at("nowhere"), &err), PCV_IO, "nowhere");
    refused(folder_make_in(at("nowhere/sub"), &err), PCV_IO, "nowhere/sub: cannot create");
    assert_false(path_exists(at("nowhere")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leftovers_of_a_file), cmocka_unit_test(writers_at_once),
        cmocka_unit_test(no_link_is_followed), cmocka_unit_test(folders_of_known_files),
        cmocka_unit_test(folders_are_built_aside), cmocka_unit_test(sweeping_a_folder),
        cmocka_unit_test(checked_before_the_work), cmocka_unit_test(strange_locks),
        cmocka_unit_test(held_folders),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
