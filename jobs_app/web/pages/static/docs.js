// Reads the document with the token that the person pastes, and shows it with Swagger UI.
"use strict";

// Swagger UI asks for this class; it does not look at the system's theme by itself.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const form = document.getElementById("sign-in");
const refused = document.getElementById("refused");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  refused.textContent = "";
  let spec;
  try {
    const answer = await fetch("v1/openapi.json", {
      headers: { Authorization: `Bearer ${token}` },
    });
    spec = await answer.json();
    if (!answer.ok) {
      refused.textContent = spec.detail;
      return;
    }
  } catch {
    refused.textContent = "The server does not answer.";
    return;
  }
  form.hidden = true;
  show(spec, token);
});

function show(spec, token) {
  // A proxy may serve all of this below a path.
  const root = new URL("..", location.href).pathname.replace(/\/$/, "");
  if (root) spec.servers = [{ url: root }];
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#api",
    deepLinking: true,
    // Its validator badge asks a server on the internet.
    validatorUrl: null,
    onComplete: () => ui.preauthorizeApiKey("bearerAuth", token),
  });
}
