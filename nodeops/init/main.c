/* One static binary, several callings: a node needs nothing else of ours. */
#include "init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITH_LAUNCH
int launch_main(int argc, char **argv);
#endif

int main(int argc, char **argv) {
    const char *calling = argc > 1 ? argv[1] : "";
    if (!strcmp(calling, "init")) return init_main(argc > 2 ? atoi(argv[2]) : -1);
#ifdef WITH_LAUNCH
    if (!strcmp(calling, "launch")) return launch_main(argc - 1, argv + 1);
#endif
    fprintf(stderr, "usage: swapbed-init init [CONTROL_FD] | launch …\n");
    return 2;
}
