package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/terminal"
)

// completionTimeout is how long a shell waits for completions from a cluster.
const completionTimeout = 2 * time.Second

// kubeFlags are those of commands that work in a Kubernetes cluster.
type kubeFlags struct {
	options kubecli.Options
	// where is the flag of the installation's namespace.
	where string
	// outside names the flags with which the command works without Kubernetes.
	outside string
	// testPod is that of helm test, in which this process runs.
	testPod string
	// implied is set if no flag has chosen Kubernetes.
	implied bool
}

// The flag that names the installation's namespace: where a command is about a service, --namespace is the service's.
const (
	namespaceFlag        = "namespace"
	eastwayNamespaceFlag = "eastway-namespace"
)

// add gives cmd the flags; a command for several contexts has a flag of its own for them.
func (k *kubeFlags) add(cmd *cobra.Command, where string) {
	k.where = where
	flags := cmd.Flags()
	flags.StringVar(&k.options.Context, "context", "", "Kubernetes `context` (default: the kubeconfig's current one)")
	k.addInstallation(cmd)
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("context", k.completeContexts)
}

// addInstallation is add without --context.
func (k *kubeFlags) addInstallation(cmd *cobra.Command) {
	flags := cmd.Flags()
	short := ""
	if k.where == "" {
		k.where = namespaceFlag
	}
	if k.where == namespaceFlag {
		short = "n"
	}
	flags.StringVar(&k.options.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default $KUBECONFIG or ~/.kube/config)")
	flags.StringVarP(&k.options.Namespace, k.where, short, "",
		"`namespace` in which Eastway is installed (default \""+kubecli.DefaultNamespace+"\"; in a pod, its own)")
	flags.StringVar(&k.options.Release, "release", kubecli.DefaultRelease, "`name` of its helm release")
	_ = cmd.RegisterFlagCompletionFunc(k.where, k.completeNamespaces)
	flags.StringVar(&k.testPod, "test-pod", "", "this process runs in the pod of that `name`, which is to go with its ServiceAccount")
	_ = flags.MarkHidden("test-pod") // for the chart
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if k.testPod == "" {
			return nil
		}
		return k.with(func(c *kubecli.Cluster) error { return kubecli.Belong(cmd.Context(), c, k.testPod) })
	}
}

// excludes makes flags of the file world contradict those of the Kubernetes world.
func (k *kubeFlags) excludes(cmd *cobra.Command, names ...string) {
	k.outside = "--" + strings.Join(names, ", --")
	for _, name := range names {
		for _, kube := range []string{"context", "kubeconfig", "release", k.where} {
			cmd.MarkFlagsMutuallyExclusive(name, kube)
		}
	}
}

// wanted reports whether a command that works in both worlds uses Kubernetes: by its flags, or because there is a kubeconfig.
func (k *kubeFlags) wanted(cmd *cobra.Command) bool {
	for _, name := range []string{"context", "kubeconfig", "release", k.where} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	k.implied = kubecli.Configured(k.options)
	return k.implied
}

// with calls f with the cluster, and gives its errors their exit code.
func (k *kubeFlags) with(f func(*kubecli.Cluster) error) error {
	cluster, err := kubecli.Open(k.options)
	if errors.Is(err, kubecli.ErrNoConfig) && k.outside != "" {
		err = fmt.Errorf("%w (outside Kubernetes: %s)", err, k.outside)
	}
	if err != nil {
		return kubeError(err)
	}
	defer cluster.Close()
	err = f(cluster)
	if k.implied && (errors.Is(err, kubecli.ErrUnreachable) || errors.Is(err, kubecli.ErrNotInstalled) || errors.Is(err, kubecli.ErrNoProxy)) {
		err = fmt.Errorf("%w (this is the cluster of the kubeconfig; for a proxy on this machine: %s)", err, k.outside)
	}
	return kubeError(err)
}

// kubeError chooses the exit code.
func kubeError(err error) error {
	switch {
	case errors.Is(err, kubecli.ErrUnknownContext):
		return command.WithExit(command.Usage, err)
	case errors.Is(err, kubecli.ErrNoConfig), errors.Is(err, kubecli.ErrUnreachable), errors.Is(err, kubecli.ErrNoProxy),
		errors.Is(err, kubecli.ErrNotInstalled):
		return command.WithExit(command.Unreachable, err)
	case errors.Is(err, kubecli.ErrNotFound):
		return command.WithExit(command.NotFound, err)
	default:
		return err
	}
}

func (k *kubeFlags) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	contexts, _ := kubecli.Contexts(k.options)
	return contexts, cobra.ShellCompDirectiveNoFileComp
}

func (k *kubeFlags) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return k.complete(cmd, (*kubecli.Cluster).Namespaces)
}

// complete offers what the cluster answers; without one it offers none.
func (k *kubeFlags) complete(
	cmd *cobra.Command, ask func(*kubecli.Cluster, context.Context) ([]string, error),
) ([]cobra.Completion, cobra.ShellCompDirective) {
	var words []cobra.Completion
	if !kubecli.Configured(k.options) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	_ = k.with(func(c *kubecli.Cluster) (err error) {
		words, err = ask(c, ctx)
		return err
	})
	return words, cobra.ShellCompDirectiveNoFileComp
}

// serviceFlag is -n of commands about one service.
type serviceFlag struct{ namespace string }

func (s *serviceFlag) add(cmd *cobra.Command, k *kubeFlags) {
	cmd.Flags().StringVarP(&s.namespace, namespaceFlag, "n", "", "`namespace` of the service (default \"default\")")
	_ = cmd.RegisterFlagCompletionFunc(namespaceFlag, k.completeNamespaces)
}

// completeServices completes SERVICE from the Services of the namespace.
func (s *serviceFlag) completeServices(cmd *cobra.Command, k *kubeFlags) ([]cobra.Completion, cobra.ShellCompDirective) {
	namespace := s.namespace
	if namespace == "" {
		namespace = defaultNamespace
	}
	return k.complete(cmd, func(c *kubecli.Cluster, ctx context.Context) ([]string, error) {
		return c.ServiceNames(ctx, namespace)
	})
}

// note prints a remark on stderr: stdout is for results.
func note(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", terminal.Printable(fmt.Sprintf(format, args...)))
}
