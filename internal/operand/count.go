package operand

import (
	"errors"
	"fmt"
	"strconv"
)

// Count is a limit as the value of a flag; 0: not said.
type Count int

// String, Set and Type make it a pflag.Value.
func (c *Count) String() string { return strconv.Itoa(int(*c)) }

// Set refuses 0, which says neither "none" nor "no limit".
func (c *Count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("must be a number of 1 or more; leave the flag out for the default")
	}
	*c = Count(n)
	return nil
}

// Type names it in the help.
func (*Count) Type() string { return "number" }

// Within is an error if n, of one, is above the limit of all.
func Within(flag string, n int, of string, all int) error {
	if all > 0 && n > all {
		return fmt.Errorf("%s %d is above %s %d, which is for all of them together", flag, n, of, all)
	}
	return nil
}
