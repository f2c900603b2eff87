package journal

import (
	"context"
	"errors"
)

// Await returns when the condition holds for the entries that count, oldest first, those that are there already included, or
// with ctx's error.
func (j *Journal[T]) Await(ctx context.Context, counts func(*T) bool, condition func([]T) bool) error {
	var counted []T
	for n := 0; ; {
		entries, changed := j.after(n)
		n += len(entries)
		for i := range entries {
			if counts(&entries[i]) {
				counted = append(counted, entries[i])
			}
		}
		if condition(counted) {
			return nil
		}
		if changed == nil {
			return errors.New("journal: it ended before what was awaited happened")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// LastOf is a condition for Await: the newest n entries of each group are good. groupOf is an entry's group;
// entries of other groups do not matter.
func LastOf[T any](n int, groups []string, groupOf func(*T) string, good func(*T) bool) func([]T) bool {
	return func(entries []T) bool {
		for _, group := range groups {
			run := 0
			for i := len(entries) - 1; i >= 0 && run < n; i-- {
				if groupOf(&entries[i]) != group {
					continue
				}
				if !good(&entries[i]) {
					return false
				}
				run++
			}
			if run < n {
				return false
			}
		}
		return true
	}
}
