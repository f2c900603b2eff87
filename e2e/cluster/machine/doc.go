// Package machine makes machines out of namespaces: a process that is the first
// one of a PID namespace of its own, with its own network, mounts, host name and
// /run, /var/lib and /var/log, and daemons that it starts on request.
// Programs and all other files are the host's. Linux only; root is needed.
//
// All that a machine has hangs on its first process: the kernel kills every
// process, removes every network device and undoes every mount when that one
// ends, however it ends. What remains is the machine's directory:
//
//	DIR/control.sock   where the first process takes requests
//	DIR/log            /var/log, also what daemons print (NAME.log)
//	DIR/lib            /var/lib
//	DIR/etc            /run/machine; the rest of /run is lost with the machine
//
// The first process is the command in the folder init. Its command line names
// the directory, which is how Find knows the machines of a host.
package machine
