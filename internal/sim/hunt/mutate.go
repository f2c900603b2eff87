package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/sim"
)

// mutationSeeds is how many seeds have to find a mutation.
const mutationSeeds = 500

// mutate hunts for each mutation and prints which seed has found it, by which rule.
func mutate(ctx context.Context, o options, dir string, out io.Writer) error {
	missed := 0
	for _, m := range mutations() {
		if !strings.Contains(m.name, o.only) {
			continue
		}
		overlay, err := m.apply(".", dir)
		if err != nil {
			return err
		}
		binary, err := build(ctx, dir, overlay)
		if err != nil {
			return fmt.Errorf("mutation %q: %w", m.name, err)
		}
		began, runs := time.Now(), 0
		found, err := hunt(ctx, options{seeds: mutationSeeds, from: o.from, procs: o.procs, enough: 1}, binary, func(*sim.Reply) { runs++ })
		if err != nil {
			return err
		}
		if len(found) == 0 {
			missed++
			_, _ = fmt.Fprintf(out, "| %s | not found in %d seeds |\n", m.name, runs)
			continue
		}
		_, _ = fmt.Fprintf(out, "| %s | %d | %s | %d s\n", m.name, found[0].Seed, found[0].Violations[0].Rule, int(time.Since(began).Seconds()))
	}
	if missed > 0 {
		return fmt.Errorf("%d mutations were not found", missed)
	}
	return nil
}
