#ifndef SWAPBED_INSIDE_H
#define SWAPBED_INSIDE_H

/* Each takes argv with its own name first and returns an exit code. */
int event_main(int argc, char **argv);
int tevc_main(int argc, char **argv);
int recording_main(int argc, char **argv);
int template_record_main(int argc, char **argv);
int keep_logs_main(int argc, char **argv);
int rotate_main(int argc, char **argv);

#endif
