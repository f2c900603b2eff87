// Package hostile is only tests: programs that attack real listeners on this machine's loopback device, and what they may cost at
// most: memory, calls of others that fail, and what stays when the attacker has left. Each runs for a moment; -hostile.for makes it
// last, as a soak, which also judges how long others' calls take.
package hostile
