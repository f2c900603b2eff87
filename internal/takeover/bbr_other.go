//go:build !linux

package takeover

func loadBBR() {}
