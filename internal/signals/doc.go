// Package signals decides what signals do to processes that run for long: those by which operators and log rotation have a process
// reopen its files never end it, and neither does a log whose reader is gone.
//
// It does not end processes in order: main does that, for SIGTERM and Ctrl-C.
package signals
