// Package openloop begins requests at a steady pace, whether or not earlier ones were answered: a load that waits for
// answers goes easy on whatever is slow, and doesn't see it.
package openloop
