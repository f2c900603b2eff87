// Package eventlog makes the log of events of every process, bounded in what one line holds and in how many there are. It does
// not know the events.
package eventlog
