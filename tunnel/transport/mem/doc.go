// Package mem is a transport in one process, for tests: no sockets, no
// goroutines and no timers of its own but for deadlines, so that it runs inside
// a testing/synctest bubble. Certificates are exchanged and verified as the
// tls.Configs of both sides say; bytes are not encrypted.
//
// A Network can fall silent (Hold) and cut what it carries (Cut), everywhere or
// between two hosts. It is no simulation of delay or loss.
package mem
