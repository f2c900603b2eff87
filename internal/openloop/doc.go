// Package openloop is a steady load for the demo and for tests: it begins requests at a constant rate, whether or not
// earlier ones were answered (a load that waits for answers slows down with what it measures), and sends each request once.
package openloop
