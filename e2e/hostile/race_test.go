//go:build race

package hostile

// dearer is how many times the race detector multiplies what a handshake costs the victim, about.
const dearer = 8
