package convert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/discovery/istio"
	"github.com/eastway/eastway/internal/command"
)

// NewCommand returns `eastway convert`.
func NewCommand() *cobra.Command {
	var strict, cluster bool
	cmd := &cobra.Command{
		Use:   "convert FILE...",
		Short: "Print Istio's manifests in Eastway's form, and what becomes of each field",
		Long: `Reads Istio's DestinationRules, ServiceEntries and VirtualServices from files, or
with - from stdin, and prints the TrafficPolicies and ExternalServices that come of
them. Give it all files together: a DestinationRule for an outside host needs the
ServiceEntry of that host. Other kinds are passed over.

What becomes of fields goes to stderr, a line each with file, line, object and field:

  ignored  makes no difference here
  changed  means something else here, or nothing; calls go where they would
  refused  nothing comes of the object: calls would go elsewhere than it wants
  invalid  the object cannot be read

The exit code is 1 if something is refused or invalid, with --strict also if
something is changed; what comes of the rest is printed in any case. A proxy with
--config reads the same manifests as they are.`,
		Example: `  eastway convert reviews.yaml > eastway.yaml
  kubectl get destinationrules,serviceentries,virtualservices -A -o yaml | eastway convert --kubernetes -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("missing argument FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var inputs []input
			for _, path := range args {
				in, err := readInput(cmd.InOrStdin(), path)
				if err != nil {
					return err
				}
				inputs = append(inputs, in)
			}
			got, err := convert(inputs, cluster)
			if err != nil {
				return err
			}
			if err := got.write(cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				return err
			}
			return got.verdict(strict)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "fail if something is changed, too")
	cmd.Flags().BoolVar(&cluster, "kubernetes", false, "print what a cluster takes: TLS with Secrets instead of files")
	return cmd
}

// verdict is the error that the command ends with.
func (c *conversion) verdict(strict bool) error {
	refused, changed := c.count(istio.Refused, invalid), c.count(istio.Changed)
	switch {
	case refused > 0:
		return fmt.Errorf("%d of the notes above are about what is refused or invalid: change that, or leave it to Istio", refused)
	case strict && changed > 0:
		return fmt.Errorf("%d of the notes above are about what is changed: change that, or leave out --strict", changed)
	default:
		return nil
	}
}

// readInput reads a file, or stdin, to the size that a proxy reads too.
func readInput(stdin io.Reader, path string) (in input, err error) {
	in.name = path
	from := stdin
	if path == "-" {
		in.name = "stdin"
	} else {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = command.WithExit(command.NotFound, err)
		}
		if err != nil {
			return in, err
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	in.data, err = io.ReadAll(io.LimitReader(from, file.MaxFileSize+1))
	if err != nil {
		return in, fmt.Errorf("read %s: %w", in.name, err)
	}
	if len(in.data) > file.MaxFileSize {
		return in, fmt.Errorf("%s is larger than %d MiB: split it", in.name, file.MaxFileSize>>20)
	}
	return in, nil
}
