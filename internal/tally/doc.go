// Package tally counts what an operator should know about, such as callers that a limit refuses: Note says when to write a log
// line, and Over when status no longer shows it. It is fed with times, and has no lock of its own.
package tally
