package main

import (
	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/drill"
	"github.com/eastway/eastway/internal/kubecli"
)

func newDrillCommand() *cobra.Command {
	var proxies proxyFlags
	cmd := drill.NewCommand(func(cmd *cobra.Command, f func([]drill.Proxy) error) error {
		if proxies.local(cmd) {
			return ask(proxies.address, func(client *admin.Client) error { return f([]drill.Proxy{{Client: client}}) })
		}
		return proxies.kube.with(func(c *kubecli.Cluster) error {
			pods, err := c.ReadyProxies(cmd.Context())
			var all []drill.Proxy
			defer func() {
				for _, p := range all {
					p.Client.Close()
				}
			}()
			for i := 0; err == nil && i < len(pods); i++ {
				var client *admin.Client
				if client, err = c.Admin(cmd.Context(), &pods[i]); err == nil {
					all = append(all, drill.Proxy{Name: pods[i].Name, Client: client})
				}
			}
			if err == nil {
				err = f(all)
			}
			return adminError(err, "")
		})
	})
	cmd.Flags().StringVar(&proxies.address, "admin", admin.DefaultAddress, "`address` of the admin listener of a proxy outside Kubernetes, HOST:PORT")
	proxies.kube.add(cmd, eastwayNamespaceFlag)
	proxies.kube.excludes(cmd, "admin")
	return cmd
}
