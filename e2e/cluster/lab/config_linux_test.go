package lab

import (
	"slices"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]Config{
		"":                       {},
		"Config.Name":            {Name: "../x"},
		"Config.Name is \"A":     {Name: "A"},
		"Config.Name is \"a/b":   {Name: "a/b"},
		"32 small letters":       {Name: strings.Repeat("a", 33)},
		"Config.Clusters":        {Clusters: 7},
		"Config.Clusters is -1":  {Clusters: -1},
		"Config.Nodes":           {Nodes: 9},
		"Config.KubeProxyMode":   {KubeProxyMode: "ipvs"},
		"Config.Nodes is -1":     {Nodes: -1},
		"Config.Name is \"-name": {Name: "-name"},
		"Config.EmulatedVersion": {EmulatedVersion: "v1.32.0"},
		"Config.IPFamilies[1]":   {IPFamilies: []string{IPv6, "IPv4"}},
		"Config.IPFamilies":      {Clusters: 1, IPFamilies: []string{IPv6, IPv4}},
	} {
		err := c.Validate()
		if (err == nil) != (field == "") || err != nil && !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want it to name %s", c, err, field)
		}
	}
}

// Who forgets --name is told of the labs that there are.
func TestAbsent(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"no lab called lab is up, nor any other: make clusters":                                              absent(DefaultName, nil),
		"no lab called x is up, nor any other: make clusters ARGS='--name x'":                                absent("x", nil),
		"no lab called lab is up, but a, b: choose with --name a, or bring one up: make clusters":            absent(DefaultName, []string{"a", "b"}),
		"no lab called x is up, but a: choose with --name a, or bring one up: make clusters ARGS='--name x'": absent("x", []string{"a"}),
	} {
		if got := err.Error(); got != "lab: "+want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := Open("none-of-this-name"); err == nil || !strings.Contains(err.Error(), "no lab called none-of-this-name is up") {
		t.Errorf("%v", err)
	}
}

// Every address of every lab is its own.
func TestPlan(t *testing.T) {
	t.Parallel()
	seen := make(map[string]string)
	families := slices.Repeat([]string{DualStack, IPv6}, maxClusters/2)
	for number := range maxLabs {
		s := state{
			Config: Config{Name: "x", Clusters: maxClusters, Nodes: maxNodes, IPFamilies: families}.withDefaults(),
			Plan:   plan{Number: number},
		}
		take := func(what, address string) {
			if other := seen[address]; other != "" {
				t.Errorf("%s is %s of lab %d and %s", address, what, number, other)
			}
			seen[address] = what
		}
		for _, f := range s.Config.allFamilies() {
			take("this computer", s.Plan.self(f).String())
		}
		for i, c := range assemble(s).Clusters {
			for _, f := range c.families {
				take("gateway", s.Plan.gateway(f, i).String())
				take("outside", s.Plan.outside(f, i).String())
			}
			take("API server", c.APIServer)
			if !strings.HasPrefix(c.Zones[0], c.Region) || c.Zones[0] == c.Zones[1] {
				t.Errorf("zones %v of region %s", c.Zones, c.Region)
			}
			for n, node := range c.Nodes {
				for _, f := range c.families {
					take("node", node.address(f).String())
					if !s.Plan.site(f, i).Contains(node.address(f)) {
						t.Errorf("%s is not in %s", node.address(f), s.Plan.site(f, i))
					}
				}
				if node.Address != node.address(c.families[0]) {
					t.Errorf("%s is at %s", node.Name, node.Address)
				}
				if node.Zone != c.Zones[n%2] {
					t.Errorf("%s is in %s", node.Name, node.Zone)
				}
			}
		}
		if device := s.Plan.device(); len(device) > 15 {
			t.Errorf("the device's name %s is longer than the kernel's 15", device)
		}
	}
}
