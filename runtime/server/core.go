package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	packetrpcv1 "github.com/packetrpc/packetrpc/gen/packetrpc/v1"
	"github.com/packetrpc/packetrpc/gen/packetrpc/v1/packetrpcv1packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpc"
)

// roleAdmin is the role that the Core actions demand which reach other clients.
const roleAdmin = "admin"

// core handles the Core actions.
type core struct{ server *Server }

var _ packetrpcv1packetrpc.CoreServiceHandler = (*core)(nil)

// Ping is run on the goroutine that reads the connection and never waits.
func (c *core) Ping(_ context.Context, request *packetrpcv1.PingRequest) (*packetrpcv1.PingResponse, error) {
	return &packetrpcv1.PingResponse{Text: request.GetText(), Time: timestamppb.Now()}, nil
}

func (c *core) Info(ctx context.Context, _ *packetrpcv1.InfoRequest) (*packetrpcv1.InfoResponse, error) {
	m, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	return &packetrpcv1.InfoResponse{
		Client:    describe(m),
		Roles:     m.Identity().Roles,
		Address:   m.RemoteAddr().String(),
		Form:      m.form(),
		Encrypted: m.bound.encrypted,
	}, nil
}

func (c *core) ListClients(ctx context.Context, request *packetrpcv1.ListClientsRequest) (*packetrpcv1.ListClientsResponse, error) {
	m, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	if c.server.options.closedList && !m.session.HasRole(roleAdmin) {
		return nil, needsRole(packetrpcv1packetrpc.CoreServiceListClientsAction, roleAdmin)
	}
	members := c.server.registry.sorted(request.GetGroup())
	response := &packetrpcv1.ListClientsResponse{Clients: make([]*packetrpcv1.Client, len(members))}
	for i, m := range members {
		response.Clients[i] = describe(m)
	}
	return response, nil
}

func (c *core) ListActions(context.Context, *packetrpcv1.ListActionsRequest) (*packetrpcv1.ListActionsResponse, error) {
	response := new(packetrpcv1.ListActionsResponse)
	for method := range c.server.handlers.All() {
		action := &packetrpcv1.Action{
			Name:     method.Spec.Action,
			Type:     method.Spec.Type.String(),
			Request:  string(method.Spec.Request),
			Response: string(method.Spec.Response),
			Requires: method.Spec.Requires,
		}
		if method.Spec.Type == packetrpc.OneWay {
			action.Response = ""
		}
		response.Actions = append(response.Actions, action)
	}
	return response, nil
}

func (c *core) Send(ctx context.Context, request *packetrpcv1.SendRequest) (*packetrpcv1.SendResponse, error) {
	m, err := c.client(request.GetId())
	if err != nil {
		return nil, err
	}
	spec, message, err := resolvePush(c.server.linked(), request.GetPush())
	if err != nil {
		return nil, err
	}
	if err := m.CallOneWay(ctx, spec, message); err != nil {
		return nil, packetrpc.Errorf(packetrpc.CodeOf(err), "pushing to client %q: %s", request.GetId(), packetrpc.AsError(err).Message)
	}
	return &packetrpcv1.SendResponse{}, nil
}

func (c *core) Broadcast(ctx context.Context, request *packetrpcv1.BroadcastRequest) (*packetrpcv1.BroadcastResponse, error) {
	spec, message, err := resolvePush(c.server.linked(), request.GetPush())
	if err != nil {
		return nil, err
	}
	audience := c.server.All()
	if request.GetGroup() != "" {
		audience = c.server.Group(request.GetGroup())
	}
	delivery, err := audience.Broadcast(ctx, spec, message)
	if err != nil {
		return nil, err
	}
	return &packetrpcv1.BroadcastResponse{Queued: uint32(delivery.Queued), Refused: uint32(delivery.Refused)}, nil
}

func (c *core) Disconnect(_ context.Context, request *packetrpcv1.DisconnectRequest) (*packetrpcv1.DisconnectResponse, error) {
	m, err := c.client(request.GetId())
	if err != nil {
		return nil, err
	}
	m.Disconnect(request.GetReason())
	return &packetrpcv1.DisconnectResponse{}, nil
}

// client returns the client with a public id.
func (c *core) client(id string) (*member, error) {
	if m := c.server.registry.byID(id); m != nil {
		return m, nil
	}
	return nil, packetrpc.Errorf(packetrpc.CodeNotFound, "no client has the id %q", id)
}

// caller returns the client that a handler runs for.
func caller(ctx context.Context) (*member, error) {
	if m, ok := packetrpc.PeerFrom(ctx).(*member); ok {
		return m, nil
	}
	return nil, packetrpc.Errorf(packetrpc.CodeInternal, "the handler's context does not tell who calls")
}

// describe returns a client as others may see it.
func describe(m *member) *packetrpcv1.Client {
	return &packetrpcv1.Client{
		Id:        m.ID(),
		Name:      m.session.Name(),
		Connected: timestamppb.New(m.connected),
	}
}
