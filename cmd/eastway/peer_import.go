package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

// importFlags of peer import.
type importFlags struct {
	kube            kubeFlags
	config, cluster string
	dryRun, force   bool
}

func newPeerImportCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Check a Peer manifest and add it to this cluster",
		Long: `Import checks the Peer manifest that "eastway peer export" printed in the other cluster
and adds it: to the Kubernetes cluster (as field manager ` + kubecli.FieldManager + `), or with --config
to a directory, as DIR/peer-NAME.yaml, which a running proxy follows. Importing a newer
manifest of the same identity updates trust bundle and addresses and prints what
changed; a name that belongs to another identity is refused.`,
		Example: `  eastway peer import peer-b.yaml --context cluster-a
  eastway peer import peer-b.yaml --config config
  ssh b.example.com eastway peer export --cluster b --ca /etc/eastway/ca | eastway peer import - --config config`,
		Args: command.Arguments("FILE|-"),
		RunE: func(cmd *cobra.Command, args []string) error {
			manifest, err := readPeer(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			changes, err := f.add(cmd, manifest)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			for _, line := range changes {
				fmt.Fprintln(cmd.OutOrStdout(), terminal.Printable(line))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "`directory` of the proxy's manifests: outside Kubernetes")
	flags.StringVar(&f.cluster, "cluster", "", "this cluster's `name`, so that its own manifest is refused (on Kubernetes: read from the cluster)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check everything and print what would change, but change nothing")
	flags.BoolVar(&f.force, "force", false, "on Kubernetes: take over fields of another field manager")
	f.kube.add(cmd, namespaceFlag)
	f.kube.excludes(cmd, "config")
	cmd.MarkFlagsMutuallyExclusive("config", "force")
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagDirname("config")
	return cmd
}

// add gives one line for each change.
func (f *importFlags) add(cmd *cobra.Command, m peering.Manifest) (changes []string, err error) {
	if f.config != "" {
		return importFile(cmd, f.config, f.cluster, m, f.dryRun)
	}
	err = f.kube.with(func(c *kubecli.Cluster) error {
		changes, err = importKube(cmd, c, m, kubecli.ImportOptions{Own: f.cluster, Force: f.force, DryRun: f.dryRun})
		return err
	})
	return changes, err
}

func importKube(cmd *cobra.Command, c *kubecli.Cluster, m peering.Manifest, o kubecli.ImportOptions) ([]string, error) {
	done, err := c.Import(cmd.Context(), m, o)
	if err != nil {
		return nil, err
	}
	if done.Unchecked != "" {
		note(cmd, "could not compare it with this cluster's own manifest (name this cluster with --cluster): %s", done.Unchecked)
	}
	return importedLines(m, done.Added, done.Changes, c.String(), o.DryRun), nil
}

// importedLines describe what an import did. where is the cluster, or the file.
func importedLines(m peering.Manifest, added bool, changes []string, where string, dryRun bool) []string {
	name := "peer " + m.Peer.Name + ": "
	verb := "written to "
	if dryRun {
		verb = "would be written to "
	}
	switch {
	case added:
		return []string{name + "added as " + m.Identity.ID.String() + ", " + verb + where}
	case len(changes) == 0:
		return []string{name + "unchanged"}
	default:
		return append(changes, name+verb+where)
	}
}

// readPeer takes exactly one Peer from a file, "-" being stdin.
func readPeer(stdin io.Reader, path string) (peering.Manifest, error) {
	data, err := peering.ReadText(stdin, path)
	if errors.Is(err, fs.ErrNotExist) {
		err = command.WithExit(command.NotFound, err)
	}
	if err != nil {
		return peering.Manifest{}, fmt.Errorf("import %s: %w", path, err)
	}
	m, err := peering.Parse(data)
	if err != nil {
		return m, fmt.Errorf("import %s: %w", path, err)
	}
	return m, nil
}
