/* One static binary, several callings, chosen by its name or by the first argument: a node needs nothing else of ours. */
#include "inside.h"
#include "init.h"
#include "launch.h"
#include "traffic.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS_LIMIT = 32 };

static int be_init(int argc, char **argv) {
    int ports[PORTS_LIMIT], count = 0;
    for (int i = 1; i < argc && count < PORTS_LIMIT; i++) {
        int port = *argv[i] == '/' ? open(argv[i], O_RDWR | O_CLOEXEC) : atoi(argv[i]);
        if (port >= 0) ports[count++] = port;
    }
    return init_main(count, ports);
}

static const struct calling {
    const char *name, *link;
    int (*main)(int argc, char **argv);
} callings[] = {
    {"init", NULL, be_init},
    {"event", "swapbed-event", event_main},
    {"tevc", "tevc", tevc_main},
    {"record", "template_record", template_record_main},
    {"record-events", "record-events", recording_main},
    {"traffic", NULL, traffic_main},
    {"rotate", NULL, rotate_main},
    {"keep-logs", NULL, keep_logs_main},
    {"launch", NULL, launch_main},
};

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/'), *own_name = slash ? slash + 1 : argv[0];
    for (size_t i = 0; i < sizeof callings / sizeof *callings; i++) {
        if (callings[i].link && !strcmp(own_name, callings[i].link)) return callings[i].main(argc, argv);
        if (argc > 1 && !strcmp(argv[1], callings[i].name)) return callings[i].main(argc - 1, argv + 1);
    }
    fprintf(stderr, "usage: swapbed-init init [PORT ...] | launch | event ... | record CMD | record-events ACTION | traffic ... | rotate RUN\n");
    return 2;
}
