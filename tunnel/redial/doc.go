// Package redial says how long to wait before the next attempt to reach a peer. It is fed with times, and dials nothing.
package redial
