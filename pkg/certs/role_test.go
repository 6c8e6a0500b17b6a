package certs

import "testing"

func TestARolesNameIsReadBack(t *testing.T) {
	for r, name := range map[Role]string{Server: "server", Client: "client", Peer: "peer"} {
		if r.String() != name {
			t.Errorf("role %d is called %q", int(r), r.String())
		}
		if got, err := ParseRole(name); got != r || err != nil {
			t.Errorf("ParseRole(%q) = %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Server", "both", "role(0)"} {
		if got, err := ParseRole(name); err == nil || got != 0 {
			t.Errorf("ParseRole(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := ParseRole("both"); err.Error() != `no role "both": server, client or peer` {
		t.Errorf("%v", err)
	}
	if got := Role(0).String(); got != "role(0)" {
		t.Errorf("the zero role is called %q", got)
	}
}
