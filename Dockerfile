FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /source
# Packages are restored from these files alone, so that a change of code does not fetch them again.
COPY global.json Directory.Build.props Directory.Packages.props BannedSymbols.txt .editorconfig ./
COPY src/CampaignService/CampaignService.csproj src/CampaignService/
RUN dotnet restore src/CampaignService/CampaignService.csproj
COPY src/CampaignService src/CampaignService
RUN dotnet publish src/CampaignService/CampaignService.csproj --configuration Release --no-restore --output /app

FROM mcr.microsoft.com/dotnet/aspnet:10.0
WORKDIR /app
COPY --from=build /app .
ENV ASPNETCORE_ENVIRONMENT=Production \
    ASPNETCORE_URLS=http://+:5080
EXPOSE 5080
USER $APP_UID
# The image holds no curl: the program asks itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["dotnet", "CampaignService.dll", "--health"]
ENTRYPOINT ["dotnet", "CampaignService.dll"]
