/* What a process inside a node calls to be heard by the conductor: `swapbed-event`, `template_record`, `record-events`. */
#define _GNU_SOURCE
#include "inside.h"
#include "init.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REFUSED = 1, MISUSED = 2, UNHEARD = 4 };

static int write_all(int fd, const struct buffer *out) {
    for (size_t sent = out->sent; sent < out->used;) {
        ssize_t length = write(fd, out->bytes + sent, out->used - sent);
        if (length < 0 && errno != EINTR) return -1;
        if (length > 0) sent += (size_t)length;
    }
    return 0;
}

/* Sends one petition and waits for its answer: 0, or what the process shall exit with, having said why. */
static int ask(const struct buffer *petition, bool quiet) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET_PATH};
    struct buffer in = {0};
    struct message answer;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), taken = 0;
    if (petition->broken || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) || write_all(fd, petition)) {
        fprintf(stderr, "swapbed: the node's init does not answer: %s\n", strerror(errno));
        return UNHEARD;
    }
    while (wire_reserve(&in, 4096)) {
        ssize_t length = read(fd, in.bytes + in.used, in.capacity - in.used);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) break;
        in.used += (size_t)length;
        if ((taken = wire_take(&in, &answer))) break;
    }
    close(fd);
    if (taken <= 0) {
        fprintf(stderr, "swapbed: the node's init went away\n");
        return UNHEARD;
    }
    const char *error = wire_item(&answer, "error"), *text = wire_item(&answer, "text");
    if (error) fprintf(stderr, "swapbed: %s\n", error);
    else if (text && !quiet) puts(text);
    return error ? REFUSED : 0;
}

static size_t begin_petition(struct buffer *out, const char *what) {
    size_t began = wire_begin(out);
    wire_put(out, "op", "petition");
    wire_put(out, "request", "1");
    wire_put(out, "what", what);
    return began;
}

/* [send] TARGET VERB [KEY=VALUE …] [--wait] [--at +SECONDS]. The conductor knows what they mean; here they are only passed on. */
int event_main(int argc, char **argv) {
    static const char usage[] = "usage: swapbed-event [send] TARGET VERB [KEY=VALUE ...] [--wait] [--at +5s]\n";
    struct buffer out = {0};
    const char *names[] = {"target", "verb"};
    int named = 0, first = argc > 1 && !strcmp(argv[1], "send") ? 2 : 1;
    size_t began = begin_petition(&out, "event");
    for (int i = first; i < argc; i++) {
        if (!strcmp(argv[i], "--wait")) wire_put(&out, "wait", "1");
        else if (!strcmp(argv[i], "--at") && i + 1 < argc) wire_put(&out, "at", argv[++i]);
        else if (argv[i][0] == '-') return fputs(usage, stderr), MISUSED;
        else if (named < 2) wire_put(&out, names[named++], argv[i]);
        else if (strchr(argv[i], '=')) wire_put(&out, "argument", argv[i]);
        else return fputs(usage, stderr), MISUSED;
    }
    if (named < 2) return fputs(usage, stderr), MISUSED;
    wire_end(&out, began);
    return ask(&out, false);
}

/* Emulab's: [-w] TIME OBJECT VERB [KEY=VALUE …], TIME being `now` or +SECONDS. What says where Emulab's scheduler is, is not needed. */
int tevc_main(int argc, char **argv) {
    static const char usage[] = "usage: tevc [-e PROJECT/EXPERIMENT] [-w] now|+SECONDS OBJECT EVENT [KEY=VALUE ...]\n";
    struct buffer out = {0};
    const char *names[] = {"at", "target", "verb"};
    int named = 0;
    size_t began = begin_petition(&out, "event");
    wire_put(&out, "tevc", "1");
    for (int i = 1; i < argc; i++) {
        if (named == 0 && !strcmp(argv[i], "-w")) wire_put(&out, "wait", "1");
        else if (named == 0 && argv[i][0] == '-' && argv[i][1] && strchr("estpkl", argv[i][1]) && i + 1 < argc) i += !argv[i][2];
        else if (named == 0 && !strcmp(argv[i], "now")) named++;
        else if (named == 0 && argv[i][0] != '+') return fputs(usage, stderr), MISUSED;
        else if (named < 3) wire_put(&out, names[named++], argv[i]);
        else wire_put(&out, "argument", argv[i]);
    }
    if (named < 3) return fputs(usage, stderr), MISUSED;
    wire_end(&out, began);
    return ask(&out, true);
}

/* start|stop|pause|continue|step [NAME]: of the recording that template_record adds to. */
int recording_main(int argc, char **argv) {
    struct buffer out = {0};
    if (argc < 2 || argc > 3) return fputs("usage: record-events start|stop|pause|continue|step [NAME]\n", stderr), MISUSED;
    size_t began = begin_petition(&out, "recording");
    wire_put(&out, "action", argv[1]);
    if (argc > 2) wire_put(&out, "name", argv[2]);
    wire_end(&out, began);
    return ask(&out, false);
}

/* The words of a command as one line for /bin/sh -c; a single word is such a line already. Quoted only where sh needs it: people edit it.
 * A leading word with '=' would be an assignment to sh, so '=' is not plain. */
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+:,./-"
static char *command_line(int argc, char **argv) {
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (argc == 1) fputs(argv[0], out);
    for (int i = 0; argc > 1 && i < argc; i++) {
        bool plain = *argv[i] && strspn(argv[i], PLAIN) == strlen(argv[i]);
        const char *quote = plain ? "" : "'";
        fprintf(out, "%s%s", i ? " " : "", quote);
        for (const char *c = argv[i]; *c; c++) *c == '\'' ? fputs("'\\''", out) : fputc(*c, out);
        fputs(quote, out);
    }
    fclose(out);
    return line;
}

/* Runs CMD here and now, on this terminal; if it succeeds, the conductor adds it to the recording as of when it began. */
int template_record_main(int argc, char **argv) {
    int status = 0;
    if (argc < 2) return fputs("usage: template_record CMD [ARGUMENT ...]\n", stderr), MISUSED;
    char *line = command_line(argc - 1, argv + 1), *directory = get_current_dir_name();
    int64_t began_ns = monotonic_ns();
    pid_t child = fork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", line, (char *)NULL);
        perror("/bin/sh");
        _exit(127);
    }
    signal(SIGINT, SIG_IGN); /* the terminal's ^C is the command's */
    signal(SIGQUIT, SIG_IGN);
    while (child < 0 || (waitpid(child, &status, 0) < 0 && errno == EINTR))
        if (child < 0) return perror("fork"), REFUSED;
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code) return code;
    struct buffer out = {0};
    size_t began = begin_petition(&out, "record");
    wire_put(&out, "command", line);
    wire_put(&out, "directory", directory ? directory : "/");
    wire_putn(&out, "start_ns", began_ns);
    wire_putn(&out, "end_ns", monotonic_ns());
    wire_end(&out, began);
    ask(&out, true);
    return 0;
}
