package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/convert"
	"github.com/eastway/eastway/internal/dns"
	"github.com/eastway/eastway/internal/entry"
)

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "eastway",
		Short: "East-west tunnels between clusters, with failover to the nearest healthy endpoint",
		Long: `Eastway connects clusters that cannot reach each other's pod networks. Proxies hold
mutually authenticated tunnels to their peers, announce the services that they export,
and send every call to the nearest healthy endpoint.

` + command.ExitHelp,
		Example: `  eastway demo          # two clusters on this machine: see calls survive faults
  eastway proxy --help  # how to run one yourself
  eastway check         # a Kubernetes cluster: problems, with a hint for each`,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
	}
	root.SetOut(stdout) // the completion command keeps the writer that it finds when it is made
	root.SetErr(stderr)
	root.AddCommand(
		newProxyCommand(),
		newCertsCommand(),
		newPeerCommand(),
		newDemoCommand(),
		newStatusCommand(),
		newEndpointsCommand(),
		newExplainCommand(),
		newAuthzCommand(),
		newProbeCommand(),
		newDrillCommand(),
		convert.NewCommand(),
		newExportCommand(),
		newUnexportCommand(),
		newTakeoverCommand(),
		newCheckCommand(),
		newControllerCommand(),
		newNodeCommand(),
		dns.NewCommand(),
		entry.NewCommand(),
		newVersionCommand(),
	)
	root.SetFlagErrorFunc(explainFlag)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strict(root)
	wrapHelp(root)
	wrapFlags(root)
	return root
}

// explainFlag helps those who expect a flag that is a command here, or who mistyped the command that has the flag.
func explainFlag(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return noSuchCommand(cmd, words)
	}
	if wrong, ok := errors.AsType[*pflag.NotExistError](err); ok && wrong.GetSpecifiedName() == "version" {
		return fmt.Errorf("%w; 'eastway version' prints it", err)
	}
	return err
}

// kubectlPlugin is what the binary is called when kubectl starts it for `kubectl eastway`.
const kubectlPlugin = "kubectl-eastway"

// callAs has help and examples say what was typed, for a binary called name.
func callAs(root *cobra.Command, name string) {
	if name != kubectlPlugin {
		return
	}
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl eastway"}
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		cmd.Example = strings.ReplaceAll(cmd.Example, "  eastway ", "  kubectl eastway ")
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(root)
}

// strict makes cmd and everything below it refuse what it does not know: cobra
// by itself accepts any argument where Args is nil, and answers an unknown word
// below the first level ("certs isue") with help and exit code 0.
func strict(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
	switch {
	case cmd.Name() == "help":
		cmd.Args = knownCommand
		return
	case !cmd.Runnable():
		cmd.Args = noSuchCommand
		cmd.DisableFlagsInUseLine = true
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	case cmd.Args == nil:
		cmd.Args = command.Arguments()
	}
	if cmd.RunE == nil {
		return
	}
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkFlags(cmd.Flags()); err != nil {
			return err
		}
		if err := inner(cmd, args); err != nil {
			return command.Started(err)
		}
		return nil
	}
}

// checkFlags finds values that make no sense in any command: times below zero, and an empty variable of a script for what chooses where the
// command works, as it would then work elsewhere.
func checkFlags(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		switch value := f.Value.String(); {
		case f.Value.Type() == "duration" && strings.HasPrefix(value, "-"):
			err = command.Usagef("--%s %s must not be negative", f.Name, value)
		case value == "" && slices.Contains([]string{"admin", "config", "context", "contexts"}, f.Name):
			err = command.Usagef("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return err
}

// noSuchCommand is the Args of a command that only groups others.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2 // edits; what cobra uses at the first level
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// knownCommand is the Args of help.
func knownCommand(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	if found.HasSubCommands() {
		return noSuchCommand(found, rest)
	}
	return nil
}
