// Package hostile is only tests: programs that attack real listeners on this machine's loopback device, and what they may cost at
// most. Each runs for a moment; -hostile.for makes it last, as a soak.
package hostile
