// Package clip bounds what another side chose before it gets into a log, a status, a condition or an error: its length, and to
// characters that print on one line. It does not know where the text goes.
package clip
