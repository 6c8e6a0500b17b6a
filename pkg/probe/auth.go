package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// codeNoSupport is VIR_ERR_NO_SUPPORT; a daemon too old for AUTH_LIST says so.
const codeNoSupport = 3

// authenticate is remoteAuthenticate. It reports whether the daemon is content.
func (a *attempt) authenticate(ctx context.Context, c *Client) bool {
	end := a.stage(StageAuth)
	types, err := c.AuthList(ctx)
	var remote *RemoteError
	if errors.As(err, &remote) && (remote.Code == codeNoSupport || strings.HasPrefix(remote.Message, "unknown procedure")) {
		types, err = nil, nil
	}
	if err != nil {
		end(err)
		if errors.As(err, &remote) {
			a.fail(finding.AuthFails, "authentication-refused", "the daemon refuses the question for its authentication: "+remote.Message, remote.Message)
		} else {
			a.broken(c, err, "AUTH_LIST")
		}
		return false
	}
	for _, t := range types {
		a.Server.Auth = append(a.Server.Auth, t.String())
	}
	if len(types) == 0 {
		end(nil)
		return true
	}
	kind, mechanism, ok := a.chosenAuth(types)
	if !ok {
		end(errors.New(a.LibvirtMessage))
		return false
	}
	switch kind {
	case AuthNone:
		ok = true
	case AuthPolkit:
		ok = a.polkit(ctx, c)
	case AuthSASL:
		ok = a.sasl(ctx, c, mechanism)
	default:
		a.fail(finding.AuthFails, "authentication-unknown", fmt.Sprintf("the daemon asks for an authentication of %s", kind),
			fmt.Sprintf("authentication failed: unsupported authentication type %d", int32(kind)))
		ok = false
	}
	if ok {
		end(nil)
	} else {
		end(errors.New(a.LibvirtMessage))
	}
	return ok
}

// chosenAuth picks the type: the daemon's first, or the one that auth= demands.
func (a *attempt) chosenAuth(types []AuthType) (kind AuthType, mechanism string, ok bool) {
	want, named := a.Target.Param("auth")
	if !named {
		return types[0], "", true
	}
	word, mechanism, _ := strings.Cut(want, ".")
	switch lower := strings.ToLower(want); {
	case lower == "sasl" || strings.HasPrefix(lower, "sasl."):
		kind = AuthSASL
	case lower == "polkit":
		kind = AuthPolkit
	default:
		a.fail(finding.AuthFails, "authentication-type-of-uri", fmt.Sprintf("auth=%s names no authentication libvirt knows", want),
			"authentication failed: unknown authentication type "+want)
		return 0, "", false
	}
	for _, t := range types {
		if t == kind {
			return kind, mechanism, true
		}
	}
	a.fail(finding.AuthFails, "authentication-type-of-uri", fmt.Sprintf("the URI demands %s, the daemon asks for %s", word, strings.Join(a.Server.Auth, ", ")),
		fmt.Sprintf("authentication failed: requested authentication type %s rejected", want))
	return 0, "", false
}

func (a *attempt) polkit(ctx context.Context, c *Client) bool {
	complete, err := c.AuthPolkit(ctx)
	var remote *RemoteError
	switch {
	case errors.As(err, &remote):
		a.fail(finding.AuthFails, "polkit-refused", "the daemon asks polkit, which does not let us in: "+remote.Message, remote.Message)
	case err != nil:
		a.broken(c, err, "AUTH_POLKIT")
	case !complete:
		a.fail(finding.AuthFails, "polkit-refused", "the daemon did not complete the polkit authentication", "authentication failed: authentication failed")
	default:
		return true
	}
	return false
}
