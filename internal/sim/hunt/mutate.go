package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/sim"
)

// mutationSeeds is how many seeds have to find a mutation.
const mutationSeeds = 500

// controlRuns of the product as it is must hold with a seed that has found a mutation.
const controlRuns = 8

// mutate hunts for each mutation and prints which seed has found it, by which rule.
func mutate(ctx context.Context, o options, dir string, out io.Writer) error {
	unbroken, err := build(ctx, filepath.Join(dir, "unbroken"), "")
	if err != nil {
		return err
	}
	missed := 0
	for _, m := range slices.Concat(mutations(), httpMutations()) {
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
		holds, err := control(ctx, found[0].Seed, unbroken)
		if err != nil {
			return err
		}
		if !holds {
			missed++
			_, _ = fmt.Fprintf(out, "| %s | %d breaks a rule without it, too |\n", m.name, found[0].Seed)
			continue
		}
		_, _ = fmt.Fprintf(out, "| %s | %d | %s | %d s\n", m.name, found[0].Seed, found[0].Violations[0].Rule, int(time.Since(began).Seconds()))
	}
	if missed > 0 {
		return fmt.Errorf("%d mutations were not found", missed)
	}
	return nil
}

// control reports whether the product as it is keeps all rules with a seed.
func control(ctx context.Context, seed uint64, binary string) (bool, error) {
	for range controlRuns {
		found, err := hunt(ctx, options{seeds: 1, from: seed, procs: 1, enough: 1}, binary, func(*sim.Reply) {})
		if err != nil || len(found) > 0 {
			return false, err
		}
	}
	return true, nil
}
