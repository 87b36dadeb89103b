#define _GNU_SOURCE
#include "family.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH_LIMIT = 512 };
static const uint64_t FIRST_MARK = 1000000000; /* no limit that anybody would set */

struct member {
    pid_t pid;
    uint64_t mark;
};

struct pids {
    pid_t *pid;
    size_t count, capacity;
};

/* Children of process 1 whose mark is known. A pid stays taken until it is reaped, and is removed then. */
static struct member *members;
static size_t member_count, member_capacity;
static uint64_t last_mark = FIRST_MARK;

uint64_t family_new(void) { return ++last_mark; }

static struct member *find(pid_t pid) {
    for (size_t i = 0; i < member_count; i++)
        if (members[i].pid == pid) return &members[i];
    return NULL;
}

void family_add(pid_t pid, uint64_t mark) {
    if (member_count == member_capacity) {
        size_t capacity = member_capacity ? 2 * member_capacity : 64;
        struct member *grown = realloc(members, capacity * sizeof *grown);
        if (!grown) return;
        members = grown;
        member_capacity = capacity;
    }
    members[member_count++] = (struct member){pid, mark};
}

void family_remove(pid_t pid) {
    struct member *member = find(pid);
    if (member) *member = members[--member_count];
}

/* proc(5), /proc/PID/limits: `Max file locks  SOFT  HARD  locks`; readable for a zombie, too. */
static uint64_t read_mark(pid_t pid) {
    char path[48], line[160];
    uint64_t mark = 0;
    snprintf(path, sizeof path, "/proc/%d/limits", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "Max file locks", 14)) mark = strtoull(line + 14, NULL, 10);
    if (file) fclose(file);
    return mark > FIRST_MARK && mark <= last_mark ? mark : 0;
}

uint64_t family_of_zombie(pid_t pid) {
    struct member *member = find(pid);
    return member ? member->mark : read_mark(pid);
}

static void add_pid(struct pids *found, pid_t pid) {
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        pid_t *grown = realloc(found->pid, capacity * sizeof *grown);
        if (!grown) return;
        *found = (struct pids){grown, found->count, capacity};
    }
    found->pid[found->count++] = pid;
}

/* Direct children of one thread; process 1 has but one (proc(5), /proc/PID/task/TID/children). */
static void add_children(pid_t parent, const char *thread, struct pids *found) {
    char path[80];
    snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", parent, thread);
    FILE *children = fopen(path, "re");
    for (int child; children && fscanf(children, "%d", &child) == 1;) add_pid(found, child);
    if (children) fclose(children);
}

/* Orphans that came to process 1 since are asked for their mark. Usually there are none, and the count says so. */
static void look_for_orphans(void) {
    struct pids children = {0};
    char own[16];
    snprintf(own, sizeof own, "%d", getpid());
    add_children(getpid(), own, &children);
    if (children.count != member_count)
        for (size_t i = 0; i < children.count; i++)
            if (!find(children.pid[i])) family_add(children.pid[i], read_mark(children.pid[i]));
    free(children.pid);
}

bool family_alive(uint64_t mark) {
    look_for_orphans();
    for (size_t i = 0; i < member_count; i++)
        if (members[i].mark == mark) return true;
    return false;
}

static void collect(pid_t pid, struct pids *found, int depth) {
    char path[48];
    add_pid(found, pid);
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = depth < DEPTH_LIMIT ? opendir(path) : NULL;
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        struct pids children = {0};
        if (task->d_name[0] == '.') continue;
        add_children(pid, task->d_name, &children);
        for (size_t i = 0; i < children.count; i++) collect(children.pid[i], found, depth + 1);
        free(children.pid);
    }
    if (tasks) closedir(tasks);
}

/* All are found before the first signal: a shell must not start its next command because its last one died. What is forked in between
 * is missed; none of it escapes, so whoever wants everything dead calls again until nothing is left. */
int family_signal(uint64_t mark, int number) {
    struct pids found = {0};
    look_for_orphans();
    for (size_t i = 0; i < member_count; i++)
        if (members[i].mark == mark) collect(members[i].pid, &found, 0);
    for (size_t i = 0; i < found.count; i++) kill(found.pid[i], number);
    int count = (int)found.count;
    free(found.pid);
    return count;
}
