// What is known of the mesh, as the page shows it: made of /api/mesh and /api/status, nothing added.

const AMONG_WANTED = new Set(["up", "degraded", "connecting", "wanted", "pending-key"]);

export function modelOf(mesh, status) {
  const rows = new Map((status?.softwires ?? []).map((row) => [row.id, row]));
  const afbrs = new Map(mesh.afbrs.map((afbr) => [afbr.endpoint, afbr]));
  for (const wire of mesh.softwires)
    for (const end of wire.ends)
      if (!afbrs.has(end))
        afbrs.set(end, { endpoint: end, self: end === mesh.vantage, prefixes: [], tunnels: [], neighbors: [], problems: [] });
  const softwires = mesh.softwires.map((wire) => ({
    ...wire,
    own: mesh.vantage !== null && wire.ends.includes(mesh.vantage),
    peer: wire.ends.find((end) => end !== mesh.vantage) ?? wire.ends[1],
    row: rows.get(wire.id) ?? null,
  }));
  const own = softwires.filter((wire) => wire.own);
  return {
    vantage: mesh.vantage,
    // Of a large mesh not every pair is listed.
    pairs: mesh.summary ?? { pairs: softwires.length, possible: softwires.filter((wire) => wire.state === "possible").length },
    afbrs: [...afbrs.values()],
    softwires,
    own,
    status,
    wanted: own.filter((wire) => AMONG_WANTED.has(wire.state)),
    neighbors: status?.neighbors ?? mesh.neighbors ?? [],
    problems: status?.problems ?? [],
  };
}

export function tally(softwires) {
  const counts = new Map();
  for (const { state } of softwires) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
