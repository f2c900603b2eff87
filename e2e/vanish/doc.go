// Package vanish is only tests: relayed connections between two network
// namespaces whose line is cut without a word. What a real kernel does with data
// that is never acknowledged, and with a reader that keeps its window closed,
// cannot be seen on one host's loopback device.
package vanish
