package command

import (
	"errors"
	"fmt"
)

// Exit codes, for scripts. They are part of the interface: ExitHelp documents
// them, and a code never changes its meaning.
const (
	OK          = 0
	Failure     = 1 // it was tried and did not work
	Usage       = 2 // the command line is wrong; nothing was done
	Unreachable = 3 // no answer from a proxy's admin listener, or from Kubernetes
	NotFound    = 4 // the named thing does not exist
)

// ExitHelp is what help says about exit codes.
const ExitHelp = `Exit codes:
  0  success
  1  failure
  2  wrong command line (unknown command, flag or argument); nothing was done
  3  no answer from a proxy's admin listener or the Kubernetes API server, or
     Eastway is not installed there
  4  not found, e.g. no such service`

// exitError is an error that chooses the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// WithExit makes err end the process with that exit code; nil stays nil.
func WithExit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// Usagef is a mistake in the command line, found by a command itself.
func Usagef(format string, args ...any) error {
	return WithExit(Usage, fmt.Errorf(format, args...))
}

// startedError marks an error of a command that began its work. Whatever cobra
// returns without this mark is a command line that it did not accept.
type startedError struct{ err error }

func (e *startedError) Error() string { return e.err.Error() }
func (e *startedError) Unwrap() error { return e.err }

// Started is the error of a command that began its work; nil stays nil.
func Started(err error) error {
	if err == nil {
		return nil
	}
	return &startedError{err: err}
}

// ExitCode is that of a process whose command ended with err.
func ExitCode(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*startedError](err); ok {
		return Failure
	}
	return Usage
}
