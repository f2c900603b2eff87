package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// options of a run.
type options struct {
	services, peers, deltas int
	idle                    time.Duration
	lab, dir                string
	json, against           string
	progress                io.Writer
}

// The proxies' ports for services: the widest range that clashes neither with their own ports nor with Linux' ephemeral ones.
const (
	firstPort = 15500
	lastPort  = 32767
)

// maxServices need a listener port each, and the peers' own names half as many again.
const maxServices = (lastPort - firstPort + 1) * 2 / 3

func defaults() options {
	const services, peers, deltas = 1000, 10, 100
	return options{
		services: services, peers: peers, deltas: deltas, idle: time.Minute, dir: filepath.Join("bin", "e2e", "scale"),
	}
}

// validate names the flag that is wrong.
func (o *options) validate() error {
	switch {
	case o.peers < 1:
		return errors.New("--peers must be at least 1")
	case o.services < 2*o.peers || o.services > maxServices:
		return fmt.Errorf("--services must be between %d, for each peer to have two, and %d, for which the proxies have ports",
			2*o.peers, maxServices)
	case o.deltas < 1:
		return errors.New("--deltas must be at least 1")
	case o.idle < time.Second:
		return errors.New("--idle must be at least 1s")
	}
	return nil
}
