//go:build !race

package hostile

// dearer: see race_test.go.
const dearer = 1
