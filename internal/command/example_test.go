package command_test

import (
	"errors"
	"fmt"

	"github.com/eastway/eastway/internal/command"
)

// A command that began its work chooses the code; a command line that was not accepted always has the same.
func Example() {
	gone := command.WithExit(command.NotFound, errors.New(`no service "shop"`))
	fmt.Println(command.ExitCode(command.Started(gone)))
	fmt.Println(command.ExitCode(errors.New("unknown flag: --shop")))
	// Output:
	// 4
	// 2
}
