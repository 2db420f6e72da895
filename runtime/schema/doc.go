// Package schema knows actions by their descriptors: those that are linked into the
// program, or those that a server tells by reflection. With it a program calls actions,
// and reads packets, that it has no generated code for.
//
//	client := packetrpcv1packetrpc.NewCoreServiceClient(conn)
//	told, err := client.Reflect(ctx, &packetrpcv1.ReflectRequest{})
//	known, err := schema.New(told.GetFiles())
//	action, err := known.Action("chat.v1.ChatService/Send")
//	reply := action.NewResponse()
//	err = conn.CallUnary(ctx, action.Spec, request, reply)
package schema
