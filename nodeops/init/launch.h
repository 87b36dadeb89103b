/* Starts nodes: each becomes a process of its own namespaces, root file system and capabilities, and then its init. */
#ifndef SWAPBED_LAUNCH_H
#define SWAPBED_LAUNCH_H

/* Reads messages (wire.h), one a node, from standard input until its end, and starts all of them side by side.
 *
 *   name=        hostname, too
 *   netns=       path of a network namespace (open files of this process as /proc/self/fd/N)
 *   cgroup=      directory of a version 2 cgroup that the node is born in; leave out for none
 *   tasks=       (repeated) `tasks` files of version 1 cgroups that it joins before anything else
 *   root=        an empty directory to mount on, in a mount namespace that nobody else sees
 *   overlay=     options of overlayfs: lowerdir=…,upperdir=…,workdir=…
 *   readonly=    (repeated) absolute paths in the node that are made read-only once all else is mounted
 *   writable=    (repeated) paths below those that stay writable
 *   argument=    (repeated) what to execute in the node, argv[0] being its path
 *   environment= (repeated) NAME=VALUE
 *
 * Writes one line a node, in the order asked for: `NAME PID START` (start time as in proc(5), field 22), or `NAME - REASON`.
 * Returns 0 if all were started.
 */
int launch_main(int argc, char **argv);

#endif
