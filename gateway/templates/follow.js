const { code, seconds } = document.currentScript.dataset;
const ask = async () => {
  const options = { headers: { Accept: "application/json" }, redirect: "manual", cache: "no-store" };
  const answer = await fetch(location.href, options).catch(() => null);
  if (answer && answer.headers.get("X-Workspaces-Gateway") !== code) location.reload();
  else setTimeout(ask, seconds * 1000);
};
setTimeout(ask, seconds * 1000);
