package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/cluster/machine"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	err := command().ExecuteContext(ctx)
	stop()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() > 0: // of enter's program, which has said why
		os.Exit(exit.ExitCode())
	default:
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "Start and stop real Kubernetes clusters on this computer",
		SilenceErrors: true, SilenceUsage: true,
	}
	name := root.PersistentFlags().String("name", lab.DefaultName, "name of the lab, if a computer has several")
	root.AddCommand(upCommand(name), buildCommand(), downCommand(name), statusCommand(name), loadCommand(name), sampleCommand(name),
		enterCommand(name))
	return root
}

func upCommand(name *string) *cobra.Command {
	var c lab.Config
	cmd := &cobra.Command{
		Use: "up", Short: "Bring clusters up and print their KUBECONFIGs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Name, c.Progress = *name, cmd.ErrOrStderr()
			l, err := lab.Up(cmd.Context(), c)
			if errors.Is(err, lab.ErrUp) {
				return fmt.Errorf("%w (make clusters-down, or up --replace)", err)
			}
			if err != nil {
				return err
			}
			printKubeconfigs(cmd.OutOrStdout(), l)
			return nil
		},
	}
	cmd.Flags().IntVar(&c.Clusters, "clusters", 2, "how many, each in a region of its own")
	cmd.Flags().IntVar(&c.Nodes, "nodes", 2, "of each cluster; zones take turns")
	cmd.Flags().StringVar(&c.KubeProxyMode, "kube-proxy-mode", "nftables", "nftables or iptables")
	cmd.Flags().StringSliceVar(&c.IPFamilies, "ip-families", nil, "of each cluster: ipv4, ipv6 or dual-stack; the others have ipv4")
	cmd.Flags().StringVar(&c.EmulatedVersion, "emulated-version", "", "of Kubernetes, such as 1.32, if not the control plane's own")
	cmd.Flags().BoolVar(&c.WithoutClusterset, "without-clusterset", false, "leave clusterset.local out of CoreDNS")
	cmd.Flags().BoolVar(&c.MetricsServer, "metrics-server", false, "run metrics-server, which autoscalers ask")
	cmd.Flags().BoolVar(&c.Replace, "replace", false, "take down what is up under this name first")
	cmd.Flags().BoolVar(&c.Keep, "keep", false, "leave clusters that do not come up as they are, to look into them")
	return cmd
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use: "build [MODULE...]", Short: "Build the programs that clusters and their tests need, or these, if they are not there",
		RunE: func(cmd *cobra.Command, args []string) error {
			all := binaries.Modules()
			wanted := make([]binaries.Module, 0, len(all))
			for _, arg := range args {
				if !slices.Contains(all, binaries.Module(arg)) {
					return fmt.Errorf("there is no module %q: there are %v", arg, all)
				}
				wanted = append(wanted, binaries.Module(arg))
			}
			if len(wanted) == 0 {
				wanted = all
			}
			for _, module := range wanted {
				folder, err := binaries.Builder{Progress: cmd.ErrOrStderr()}.Programs(cmd.Context(), module)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), folder)
			}
			return nil
		},
	}
}

func printKubeconfigs(out io.Writer, l *lab.Lab) {
	for _, c := range l.Clusters {
		fmt.Fprintf(out, "%s (%s)  KUBECONFIG=%s\n", c.Name, c.Region, c.Kubeconfig)
	}
	fmt.Fprintf(out, "all, by context     KUBECONFIG=%s\n", l.Kubeconfig)
}

func downCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Remove the clusters and whatever was left of them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := lab.Names()
			if err != nil {
				return err
			}
			if !slices.Contains(names, *name) { // that is as it should be, unless another one was meant
				fmt.Fprintf(cmd.ErrOrStderr(), "cluster: nothing to remove: %v\n", lab.Absent(*name))
			}
			return lab.Down(cmd.Context(), *name)
		},
	}
}

func loadCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "load ARCHIVE...", Short: "Give images (docker or OCI archives) to all nodes", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, archives []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			for _, archive := range archives {
				if err := l.LoadImage(cmd.Context(), archive); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "all nodes have the images of %s\n", archive)
			}
			return nil
		},
	}
}

func sampleCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "sample", Short: "Deploy what the README's commands call: client in the first cluster, shop in the others", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			return l.Sample(cmd.Context())
		},
	}
}

func enterCommand(name *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "enter MACHINE [PROGRAM ARGS...]", Short: "Run a program (sh) of this computer in a machine's network", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			machines, err := machine.Find(l.Dir())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(machines, func(m *machine.Machine) bool { return m.Name() == args[0] })
			if i < 0 {
				return fmt.Errorf("no machine %s runs; see status", args[0])
			}
			if len(args) == 1 {
				args = append(args, "sh")
			}
			program := lab.CommandIn(cmd.Context(), machines[i], args[1], args[2:]...)
			program.Stdin, program.Stdout, program.Stderr = os.Stdin, os.Stdout, os.Stderr
			return program.Run()
		},
	}
	cmd.Flags().SetInterspersed(false) // flags after the machine are the program's
	return cmd
}

func statusCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what runs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			machines, err := machine.Find(l.Dir())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			printKubeconfigs(out, l)
			for _, c := range l.Clusters {
				for _, n := range c.Nodes {
					fmt.Fprintf(out, "%s  %s  %s\n", n.Name, n.Address, n.Zone)
				}
			}
			for _, m := range machines {
				fmt.Fprintf(out, "machine %s  process %d  logs %s/log\n", m.Name(), m.PID(), m.Dir())
				daemons, err := m.Daemons(cmd.Context())
				if err != nil {
					return err
				}
				for _, d := range daemons {
					ended := "runs"
					if !d.Running {
						ended = d.Ended
					}
					fmt.Fprintf(out, "  %-24s %s\n", d.Name, ended)
				}
			}
			return nil
		},
	}
}
